/*
 * harness.mjs - starts the real program on a data directory of its own and talks to it over real sockets.
 *
 * Everything that waits has a bound and says what it waited for. Servers are ended by process id and their
 * directories removed, also where a test fails.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';

export const REPO = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const BIN = path.resolve(process.env.PENSTOCK_BIN || path.join(REPO, 'build/penstock'));
/** Slow machines and sanitizers stretch every wait. */
export const PATIENCE = Number(process.env.PATIENCE || 1);
export const WAIT_MS = 8000 * PATIENCE;

export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Waits for a promise, at most `ms`; `what` names it in the failure. */
export async function within(ms, what, promise) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${typeof what === 'function' ? what() : what}`)), ms);
    });
    try {
        return await Promise.race([promise, late]);
    } finally {
        clearTimeout(timer);
    }
}

/** Asks until the answer is true. */
export async function until(what, ask, ms = WAIT_MS) {
    const end = Date.now() + ms;
    for (;;) {
        const answer = await ask();
        if (answer) return answer;
        if (Date.now() > end) throw new Error(`waited ${ms} ms until ${what}`);
        await sleep(20);
    }
}

// --- what must not be left behind -----------------------------------------------------------------------

const children = new Set();
const directories = new Set();

export function tempDir() {
    const dir = mkdtempSync(path.join(process.env.TMPDIR || tmpdir(), 'penstock-test-'));
    directories.add(dir);
    return dir;
}

function removeDir(dir) {
    rmSync(dir, { recursive: true, force: true });
    directories.delete(dir);
}

process.on('exit', () => {
    for (const child of children) child.kill('SIGKILL');
    for (const dir of directories) rmSync(dir, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

// --- tokens ---------------------------------------------------------------------------------------------

export const base64url = (data) => Buffer.from(data).toString('base64url');

const SIGNERS = {
    HS256: (key, input) => createHmac('sha256', key).update(input).digest(),
    RS256: (key, input) => sign('sha256', input, key),
    ES256: (key, input) => sign('sha256', input, { key, dsaEncoding: 'ieee-p1363' }),
    EdDSA: (key, input) => sign(null, input, key),
};

/** A JWT from a payload object, or from its exact JSON where duplicates and odd numbers matter. */
export function makeToken(key, payload, { alg = 'HS256', header = {}, signer = alg } = {}) {
    const head = base64url(JSON.stringify({ alg, typ: 'JWT', ...header }));
    const body = base64url(typeof payload === 'string' ? payload : JSON.stringify(payload));
    const input = Buffer.from(`${head}.${body}`);
    return `${input}.${base64url(SIGNERS[signer](key, input))}`;
}

export const nowS = () => Math.floor(Date.now() / 1000);

export const makeKeys = {
    RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: () => generateKeyPairSync('ed25519'),
};

// --- the program ----------------------------------------------------------------------------------------

/** Runs the program to its end: { code, signal, stdout, stderr }. */
export async function run(args, { input, env = {}, ms = 20000 * PATIENCE, cwd } = {}) {
    const child = spawn(BIN, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env }, cwd });
    children.add(child);
    const out = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text) => { out.stdout += text; });
    child.stderr.setEncoding('utf8').on('data', (text) => { out.stderr += text; });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    try {
        const ended = new Promise((resolve, reject) => {
            child.on('error', reject);
            child.on('close', (code, signal) => resolve({ code, signal, ...out }));
        });
        return await within(ms, () => `penstock ${args[0]} to end: ${out.stderr.slice(-500)}`, ended);
    } finally {
        children.delete(child);
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    }
}

export class Server {
    /**
     * options: dir (an existing data directory), args (more options), port, keys (false: no default key),
     * dev (let the server make its secret), tls ({cert, key} as paths)
     */
    static async start(options = {}) {
        const server = new Server(options);
        await server.boot();
        return server;
    }

    constructor(options) {
        this.options = options;
        this.home = options.home || tempDir();
        this.dir = options.dir || path.join(this.home, 'data');
        this.secret = options.secret || randomBytes(32);
        this.secretPath = path.join(this.home, 'test.hs256');
        writeFileSync(this.secretPath, this.secret);
        this.restPort = options.port || 0;
        this.sockets = new Set();
        this.agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
    }

    get argv() {
        const { args = [], keys = true, dev = false, tls } = this.options;
        return ['serve', '--data', this.dir, '--listen', `127.0.0.1:${this.restPort}`,
            ...(keys && !dev ? ['--jwt-key', this.secretPath] : []), ...(dev ? ['--dev'] : []),
            ...(tls ? ['--tls-cert', tls.cert, '--tls-key', tls.key] : []), ...args];
    }

    async boot() {
        if (!existsSync(BIN)) throw new Error(`there is no ${BIN}: build it, or name it in PENSTOCK_BIN`);
        this.log = '';
        const child = spawn(BIN, this.argv, { stdio: ['ignore', 'pipe', 'pipe'] });
        this.child = child;
        children.add(child);
        this.ended = new Promise((resolve) => {
            child.on('close', (code, signal) => {
                children.delete(child);
                resolve({ code, signal });
            });
        });
        child.stderr.setEncoding('utf8').on('data', (text) => { this.log = (this.log + text).slice(-20000); });
        let out = '';
        const ready = new Promise((resolve, reject) => {
            child.on('error', reject);
            child.stdout.setEncoding('utf8').on('data', (text) => {
                out += text;
                const line = /^penstock: ready on (https?):\/\/([0-9.]+|\[[0-9a-f:]+\]):([0-9]+)\n/m.exec(out);
                if (line) resolve(line);
            });
            this.ended.then(({ code, signal }) => reject(new Error(`penstock ended (${code ?? signal}): ${out}${this.log}`)));
        });
        const [, scheme, host, port] = await within(30000 * PATIENCE, () => `the ready line; so far: ${out}${this.log}`, ready);
        Object.assign(this, { scheme, host, port: Number(port), base: `${scheme}://${host}:${port}` });
        return this;
    }

    get pid() {
        return this.child.pid;
    }

    token(sub, claims = {}) {
        return makeToken(this.secret, { sub, exp: nowS() + 3600, ...claims });
    }

    /** SIGTERM: the way operators end it. It must leave with 0, whatever was going on. */
    async stop() {
        this.child.kill('SIGTERM');
        const how = await within(15000 * PATIENCE, () => `the end after SIGTERM: ${this.log}`, this.ended);
        assert.deepEqual(how, { code: 0, signal: null }, this.log);
    }

    async kill() {
        this.child.kill('SIGKILL');
        await within(15000, 'the end after SIGKILL', this.ended);
    }

    /** Starts it again on the same data directory; keeps the port where asked, as a real one would. */
    async restart({ samePort = false } = {}) {
        this.restPort = samePort ? this.port : this.options.port || 0;
        // Sockets of an io_uring are let go of asynchronously: the port can be taken for a moment longer.
        for (let attempt = 0; ; attempt++) {
            try {
                return await this.boot();
            } catch (error) {
                if (!samePort || attempt >= 20) throw error;
                await sleep(100);
            }
        }
    }

    /** For after(): ends it properly and removes what it wrote. */
    async end() {
        for (const socket of this.sockets) socket.ws.terminate();
        this.agent.destroy();
        try {
            if (children.has(this.child)) await this.stop();
        } finally {
            this.child.kill('SIGKILL');
            removeDir(this.home);
        }
    }

    /** One HTTP call: { status, headers, text, json }. `as`: a user id, or `token`, or neither. */
    call(method, target, { as, token, body, headers = {}, agent = this.agent, tls = {} } = {}) {
        const all = { ...headers };
        if (as !== undefined) all.authorization = `Bearer ${this.token(as)}`;
        if (token !== undefined) all.authorization = `Bearer ${token}`;
        let data = body;
        if (body !== undefined && typeof body !== 'string' && !Buffer.isBuffer(body)) {
            data = JSON.stringify(body);
            all['content-type'] ||= 'application/json';
        }
        if (data !== undefined) all['content-length'] ??= Buffer.byteLength(data);
        const secure = this.scheme === 'https';
        const answer = new Promise((resolve, reject) => {
            const options = { host: this.host, port: this.port, method, path: target, headers: all, ...(secure ? tls : { agent }) };
            const request = (secure ? https : http).request(options, (response) => {
                const parts = [];
                response.on('data', (part) => parts.push(part));
                response.on('error', reject);
                response.on('end', () => {
                    const text = Buffer.concat(parts).toString('utf8');
                    const type = response.headers['content-type'] || '';
                    const json = /\bjson\b/.test(type) && text ? JSON.parse(text) : undefined;
                    resolve({ status: response.statusCode, headers: response.headers, text, json });
                });
            });
            request.on('error', reject);
            request.end(data);
        });
        return within(WAIT_MS, `${method} ${target}`, answer);
    }

    /** A call that must succeed: its JSON. */
    async ask(method, target, options) {
        const answer = await this.call(method, target, options);
        assert.ok(answer.status >= 200 && answer.status < 300, `${method} ${target}: ${answer.status} ${answer.text}`);
        return answer.json;
    }

    createDoc(as, body = {}) {
        return this.ask('POST', '/docs', { as, body });
    }

    share(owner, id, principal, role) {
        return this.ask('PUT', `/docs/${id}/collaborators/${encodeURIComponent(principal)}`, { as: owner, body: { role } });
    }

    getDoc(as, id, query = '') {
        return this.ask('GET', `/docs/${id}${query}`, { as });
    }

    /** Opens a WebSocket and waits for `welcome`; a refused handshake throws a HandshakeError. */
    async join(id, { as, token, clientId, version, hash, ...rest } = {}) {
        const query = new URLSearchParams();
        if (clientId !== undefined) query.set('client_id', clientId);
        if (version !== undefined) query.set('version', version);
        if (hash !== undefined) query.set('history_hash', hash);
        const socket = await this.upgrade(`/ws/docs/${id}?${query}`, { as, token, ...rest });
        socket.welcome = await socket.next('welcome');
        socket.clientId = socket.welcome.client_id;
        return socket;
    }

    /** The bare handshake. */
    async upgrade(target, { as, token, headers = {}, protocols, tls } = {}) {
        const all = { ...headers };
        const jwt = token ?? (as === undefined ? undefined : this.token(as));
        if (jwt !== undefined) all.authorization = `Bearer ${jwt}`;
        const url = `${this.base.replace(/^http/, 'ws')}${target}`;
        const ws = new WebSocket(url, protocols, { headers: all, perMessageDeflate: false, ...tls });
        const socket = new Socket(ws);
        this.sockets.add(socket);
        ws.on('close', () => this.sockets.delete(socket));
        await within(WAIT_MS, `the handshake of ${target}`, socket.opened);
        return socket;
    }
}

export class HandshakeError extends Error {
    constructor(status, headers, text) {
        super(`the handshake was answered with ${status} ${text}`);
        Object.assign(this, { status, headers, text });
    }
}

/** A WebSocket whose messages are taken one by one, in order. */
export class Socket {
    constructor(ws) {
        this.ws = ws;
        this.queue = [];
        this.waiters = [];
        this.opened = new Promise((resolve, reject) => {
            ws.on('open', resolve);
            ws.on('error', reject);
            ws.on('unexpected-response', (request, response) => {
                let text = '';
                response.setEncoding('utf8').on('data', (part) => { text += part; });
                response.on('end', () => {
                    reject(new HandshakeError(response.statusCode, response.headers, text));
                    request.destroy();
                });
            });
        });
        this.opened.catch(() => {});
        ws.on('error', () => {});
        ws.on('message', (data, isBinary) => {
            assert.equal(isBinary, false, 'the server sends text alone');
            this.queue.push(JSON.parse(data.toString('utf8')));
            this.#wake();
        });
        this.closed = new Promise((resolve) => {
            ws.on('close', (code, reason) => {
                this.closeCode = code;
                resolve({ code, reason: reason.toString() });
                this.#wake();
            });
        });
    }

    #wake() {
        for (const wake of this.waiters.splice(0)) wake();
    }

    send(message) {
        this.ws.send(typeof message === 'string' ? message : JSON.stringify(message));
    }

    /** Waits until `take()` gives something; every message and the close ask it again. */
    async #wait(what, take, ms) {
        const end = Date.now() + ms;
        for (;;) {
            const taken = take();
            if (taken !== undefined) return taken;
            if (this.closeCode !== undefined) throw new Error(`closed with ${this.closeCode} while waiting for ${what}`);
            const left = end - Date.now();
            if (left <= 0) throw new Error(`waited ${ms} ms for ${what}; have ${JSON.stringify(this.queue).slice(0, 500)}`);
            await new Promise((resolve) => {
                const timer = setTimeout(resolve, left);
                this.waiters.push(() => { clearTimeout(timer); resolve(); });
            });
        }
    }

    /**
     * The next message; with a type or a predicate it must fit, else the test fails at once: what comes
     * is part of what is tested. Presence may interleave, so it is passed over unless asked for.
     */
    async next(want, ms = WAIT_MS) {
        const wantsPresence = typeof want === 'string' && want.startsWith('presence');
        const message = await this.#wait(`a message ${want ?? ''}`, () => {
            const idx = this.queue.findIndex((m) => wantsPresence || !m.type.startsWith('presence'));
            return idx < 0 ? undefined : this.queue.splice(idx, 1)[0];
        }, ms);
        if (typeof want === 'string') assert.equal(message.type, want, JSON.stringify(message));
        if (typeof want === 'function') assert.ok(want(message), JSON.stringify(message));
        return message;
    }

    /** Passes over messages until one of that type (that also fits) comes. */
    find(type, fits = () => true, ms = WAIT_MS) {
        return this.#wait(type, () => {
            const idx = this.queue.findIndex((m) => m.type === type && fits(m));
            return idx < 0 ? undefined : this.queue.splice(0, idx + 1).pop();
        }, ms);
    }

    /** Waits until such a message is in the queue, and leaves it there. */
    seen(what, fits, ms = WAIT_MS) {
        return this.#wait(what, () => this.queue.find(fits), ms);
    }

    /** Everything that came before the answer to a ping: a way to see that nothing else did. */
    async flush() {
        this.send({ type: 'ping' });
        await until('the pong', () => this.queue.some((m) => m.type === 'pong') || this.closeCode !== undefined);
        const before = this.queue.splice(0);
        return before.filter((m) => m.type !== 'pong');
    }

    /** The close code, within bounds. */
    async closeOf(ms = WAIT_MS) {
        return (await within(ms, 'the connection to be closed', this.closed)).code;
    }

    async close() {
        this.ws.close(1000);
        return this.closeOf();
    }

    /** An op on this connection, answered: the ack, or the error. */
    async op(op) {
        this.send({ type: 'op', op: { client_id: this.clientId, ...op } });
        return this.next((m) => m.type === 'ack' || m.type === 'error');
    }
}

/** Expects a handshake to be refused, and gives its answer. */
export async function refused(promise) {
    try {
        const socket = await promise;
        socket.ws.terminate();
    } catch (error) {
        if (error instanceof HandshakeError) return error;
        throw error;
    }
    throw new assert.AssertionError({ message: 'the handshake was accepted' });
}

export function assertProblem(answer, status, code) {
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.headers['content-type'] || '', /^application\/problem\+json\b/);
    const problem = answer.json ?? JSON.parse(answer.text);
    assert.equal(problem.status, status);
    for (const field of ['type', 'title', 'detail', 'code']) assert.equal(typeof problem[field], 'string', field);
    if (code) assert.equal(problem.code, code, answer.text);
    return problem;
}

/** Fails unless the message is that error; gives it back. */
export function assertError(message, code, { seq } = {}) {
    assert.equal(message.type, 'error', JSON.stringify(message));
    assert.equal(message.code, code, JSON.stringify(message));
    assert.equal(typeof message.message, 'string');
    assert.equal(typeof message.retry, 'boolean');
    if (seq !== undefined) assert.equal(message.seq, seq);
    return message;
}

export const RFC3339_MS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
export const HASH = /^[0-9a-f]{16}$/;
