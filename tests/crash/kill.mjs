/*
 * kill.mjs - ends the server with SIGKILL at random moments under load, again and again.
 *
 * Clients (the page's own) type without pause, come back after each kill and send again what was not
 * answered. At the end: no acknowledged op is lost, none is there twice, versions have no gaps, every
 * history hash ever told still holds, and content equals a replay of history.
 *
 * KILLS (default 20), SEED. Prints "N passed, M failed".
 */
import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { TextClient } from '../../gateway/web/client.js';
import { Server, sleep, until, within } from '../blackbox/harness.mjs';
import { Random, contentOf, historyOf, replay } from '../blackbox/oracle.mjs';

const KILLS = Number(process.env.KILLS || 20);
const SEED = Number(process.env.SEED || Date.now() % 1e9);
const DOCS = 4;
const CLIENTS = 12; // the page's own
const BLUNT = 4; // the simplest that the protocol allows
const LENGTH_MAX = 4000;
const START = 'start \u{1f600} ';

const random = new Random(SEED);
const failures = [];
const fail = (text) => { if (failures.length < 20) failures.push(text); };

class Writer {
    constructor(server, doc, idx) {
        Object.assign(this, { server, doc, idx });
        this.clientId = `w${idx}`;
        this.acked = new Map(); // seq -> new_version
        this.typed = 0;
        this.client = new TextClient({
            docId: doc.id,
            clientId: this.clientId,
            openSocket: (query) => new WebSocket(`${server.base.replace('http', 'ws')}/ws/docs/${doc.id}?${query}`, { headers: { authorization: `Bearer ${server.token('ann')}` } }),
            onNotice: (text) => fail(`${this.clientId}: ${text}`),
            onMessage: (message) => this.#note(message),
        });
        this.client.open();
    }

    /** Remembers all that the server promised. */
    #note(message) {
        const { doc } = this;
        if (message.type === 'ack') this.#noteAck(message.seq, message.new_version);
        if (message.type === 'op' && message.op.client_id === this.clientId) this.#noteAck(message.op.seq, message.new_version);
        if (message.type === 'ack' || message.type === 'op') doc.newest = Math.max(doc.newest, message.new_version);
        if (message.reset) fail(`${this.clientId} was told to start over`);
        if (message.type === 'error' && !message.retry) fail(`${this.clientId}: ${JSON.stringify(message)}`);
        const isNew = message.type === 'synced' || (message.type === 'welcome' && message.content !== undefined);
        if (message.version < doc.newestAtStart && message.type === 'welcome') fail(`version went back from ${doc.newestAtStart} to ${message.version}`);
        if (!isNew) return;
        const known = doc.hashes.get(message.version);
        if (known && known !== message.history_hash) fail(`the history hash of version ${message.version} changed`);
        doc.hashes.set(message.version, message.history_hash);
    }

    #noteAck(seq, version) {
        if (version === null) return fail(`${this.clientId} ${seq}: no version in its ack`);
        if (this.acked.has(seq) && this.acked.get(seq) !== version) fail(`${this.clientId} ${seq} was told two versions`);
        this.acked.set(seq, version);
        return undefined;
    }

    /** Types as long as the others do; keeps the text in bounds by deleting. */
    type() {
        const { client } = this;
        if (client.version < 0) return;
        const { length } = client.content;
        const end = (at) => ((client.content.charCodeAt(at) & 0xfc00) === 0xdc00 ? at - 1 : at);
        const from = end(random.below(length + 1));
        const head = from ? [from] : [];
        if (length > LENGTH_MAX) client.edit(cutTail(client.content));
        else client.edit([...head, `${this.idx}.${this.typed++}${random.chance(0.1) ? '\u{1f4a5}' : ' '}`]);
    }
}

/**
 * The simplest client there is: it knows no text, inserts at the start, and after every lost connection
 * sends its last message again as it was, until all of it is acknowledged. So it lives by the server's
 * promise that a resent op takes effect once, and that a message becomes durable as a whole.
 */
class Blunt {
    constructor(server, doc, idx) {
        Object.assign(this, { server, doc, idx, clientId: `b${idx}`, acked: new Map(), lastSeq: 0, version: 0, message: null, resent: 0, isDone: false });
    }

    async run(goesOn) {
        while (goesOn() || this.message) {
            try {
                const socket = await this.server.join(this.doc.id, { as: 'ann', clientId: this.clientId });
                this.#check(socket.welcome);
                while (goesOn() || this.message) await this.#exchange(socket);
                socket.ws.terminate();
            } catch (error) {
                if (error.code === 'ERR_ASSERTION') fail(`${this.clientId}: ${error.message}`);
                await sleep(20 + random.below(30));
            }
        }
        this.isDone = true;
    }

    #check({ last_seq: last, version }) {
        if (this.message) {
            const seqs = this.message.map((op) => op.seq);
            if (last > this.lastSeq && last < seqs[seqs.length - 1]) fail(`${this.clientId}: only ${last - this.lastSeq} ops of a message of ${seqs.length} were kept`);
            this.resent++;
        } else {
            this.version = version;
        }
        if (last < this.lastSeq) fail(`${this.clientId}: seq went back from ${this.lastSeq} to ${last}`);
    }

    async #exchange(socket) {
        this.message ||= Array.from({ length: 1 + random.below(4) }, (_, i) => ({
            type: 'insert', pos: 0, str: `b${this.idx}.${this.lastSeq + 1 + i} `, client_id: this.clientId, seq: this.lastSeq + 1 + i, version: this.version,
        }));
        socket.send({ type: 'ops', ops: this.message });
        for (const { seq } of this.message) {
            const answer = await socket.seen('an ack', (m) => m.type === 'error' || (m.type === 'ack' && m.seq >= seq));
            assert.equal(answer.type, 'ack', `${JSON.stringify(this.message)} got ${JSON.stringify(answer)}`);
            const ack = await socket.find('ack', (m) => m.seq >= seq);
            if (ack.seq !== seq) fail(`${this.clientId}: ${ack.seq} was acknowledged before ${seq}`);
            if (this.acked.has(seq) && this.acked.get(seq) !== ack.new_version) fail(`${this.clientId} ${seq} was told two versions`);
            this.acked.set(seq, ack.new_version);
            this.doc.newest = Math.max(this.doc.newest, ack.new_version);
            this.version = ack.new_version;
        }
        this.lastSeq = this.message[this.message.length - 1].seq;
        this.message = null;
    }
}

/** Deletes the second half, at no place inside a surrogate pair. */
function cutTail(content) {
    let at = content.length >> 1;
    if ((content.charCodeAt(at) & 0xfc00) === 0xdc00) at--;
    return [at, at - content.length];
}

async function killOnce(server) {
    if (random.chance(0.2)) {
        // Also while it recovers: it is started and killed before it serves.
        server.restPort = server.port;
        const { child } = await new Promise((resolve) => {
            const booting = server.boot().catch(() => {});
            setImmediate(() => resolve({ child: server.child, booting }));
        });
        await sleep(random.below(60));
        child.kill('SIGKILL');
        await server.ended;
    }
    await server.restart({ samePort: true });
}

async function check(server, doc, writers, blunt) {
    const items = await historyOf(server, 'ann', doc.id);
    const now = await server.getDoc('ann', doc.id);
    items.forEach((item, i) => { if (item.version !== i + 1) fail(`${doc.id}: version ${item.version} at place ${i + 1}`); });
    if (now.version !== items.length) fail(`${doc.id}: ${items.length} ops of history at version ${now.version}`);
    if (contentOf(replay(START, items), 'text') !== now.content) fail(`${doc.id}: content is not the replay of history`);
    const seen = new Set();
    for (const item of items) {
        const key = `${item.client_id} ${item.op.seq}`;
        if (seen.has(key)) fail(`${doc.id}: ${key} is there twice`);
        seen.add(key);
    }
    for (const { clientId, acked } of [...writers, ...blunt]) {
        for (const [seq, version] of acked) {
            const { op } = items[version - 1] || {};
            if (!op || op.client_id !== clientId || op.seq !== seq) fail(`${doc.id}: ${clientId} ${seq} was acknowledged as version ${version} and is not there`);
        }
    }
    for (const { clientId, client } of writers) {
        for (let seq = 1; seq <= client.lastSeq; seq++) if (!seen.has(`${clientId} ${seq}`)) fail(`${doc.id}: ${clientId} ${seq} is lost`);
        if (client.content !== now.content) fail(`${doc.id}: ${clientId} holds another text`);
    }
    for (const [version, hash] of doc.hashes) {
        const then = await server.getDoc('ann', doc.id, `?version=${version}`);
        if (then.history_hash !== hash) fail(`${doc.id}: the history hash of version ${version} is another one`);
    }
    return items.length;
}

async function main() {
    console.log(`${KILLS} kills, SEED=${SEED}`);
    const server = await Server.start();
    const docs = [];
    for (let i = 0; i < DOCS; i++) docs.push({ ...(await server.createDoc('ann', { content: START })), hashes: new Map(), newest: 0, newestAtStart: 0 });
    const writers = Array.from({ length: CLIENTS }, (_, i) => new Writer(server, docs[i % DOCS], i));
    const blunt = Array.from({ length: BLUNT }, (_, i) => new Blunt(server, docs[i % DOCS], i));
    let typing = true;
    const bluntRuns = blunt.map((client) => client.run(() => typing));
    const typist = (async () => {
        while (typing) {
            for (const writer of writers) if (writer.client.state !== 'live' ? random.chance(0.02) : true) writer.type();
            await sleep(random.below(4));
        }
    })();
    let underLoad = 0;
    for (let i = 1; i <= KILLS; i++) {
        await sleep(20 + random.below(180));
        // A kill counts where someone was at work; a client's waiting time is not the test's.
        for (const { client } of writers) if (client.state === 'waiting') client.open();
        await until('clients are back', () => writers.some(({ client }) => client.state === 'live'));
        await sleep(random.below(60));
        if (writers.some(({ client }) => client.state === 'live' && !client.isSaved)) underLoad++;
        await server.kill();
        for (const doc of docs) doc.newestAtStart = doc.newest;
        await killOnce(server);
        if (i % 20 === 0) console.log(`${i} kills; versions ${docs.map((doc) => doc.newest).join(' ')}`);
    }
    typing = false;
    await typist;
    await within(60000, 'the simple clients to be answered', Promise.all(bluntRuns));
    for (const { client } of writers) if (client.state === 'waiting') client.open();
    await until('everybody is back and saved', () => writers.every(({ client }) => client.state === 'live' && client.isSaved), 60000);
    await until('everybody has everything', () => writers.every((w) => w.client.version === Math.max(...writers.filter((o) => o.doc === w.doc).map((o) => o.client.version))), 20000);
    let total = 0;
    for (const doc of docs) total += await check(server, doc, writers.filter((writer) => writer.doc === doc), blunt.filter((client) => client.doc === doc));
    for (const { client } of writers) client.close();
    await server.end();
    if (!blunt.some((client) => client.resent > 0)) fail('no message was ever sent again');
    if (underLoad < KILLS / 2) fail(`only ${underLoad} of ${KILLS} kills came under load`);
    console.log(`${KILLS} kills, ${underLoad} with ops in flight, ${total} ops in ${DOCS} documents, ${[...writers, ...blunt].reduce((n, w) => n + w.acked.size, 0)} acknowledged, ${blunt.reduce((n, b) => n + b.resent, 0)} messages sent again as they were`);
}

await main().catch((error) => fail(error.stack));
for (const text of failures) console.log(`failed: ${text}`);
console.log(failures.length ? '0 passed, 1 failed' : '1 passed, 0 failed');
process.exit(failures.length ? 1 : 0);
