/*
 * raw.mjs - sockets that send exact bytes, for what a well-behaved library can't be brought to do.
 */
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { WAIT_MS, within } from './harness.mjs';

/** A TCP connection that collects what comes. */
export class RawSocket {
    static async open(server) {
        const raw = new RawSocket(net.connect(server.port, server.host));
        await within(WAIT_MS, 'a TCP connection', new Promise((resolve, reject) => {
            raw.socket.once('connect', resolve);
            raw.socket.once('error', reject);
        }));
        return raw;
    }

    constructor(socket) {
        this.socket = socket;
        this.bytes = Buffer.alloc(0);
        this.ended = false;
        this.waiters = [];
        const wake = () => { for (const waiter of this.waiters.splice(0)) waiter(); };
        socket.on('data', (data) => {
            this.bytes = Buffer.concat([this.bytes, data]);
            wake();
        });
        const end = () => {
            this.ended = true;
            wake();
        };
        socket.on('end', end).on('close', end).on('error', end);
    }

    write(data) {
        this.socket.write(data);
    }

    /** Waits until `take(bytes)` gives something; `null` when the peer closed before. */
    async take(what, take, ms = WAIT_MS) {
        const end = Date.now() + ms;
        for (;;) {
            const taken = take(this.bytes);
            if (taken) {
                this.bytes = this.bytes.subarray(taken.used);
                return taken;
            }
            if (this.ended) return null;
            const left = end - Date.now();
            if (left <= 0) throw new Error(`waited ${ms} ms for ${what}; have ${this.bytes.subarray(0, 200)}`);
            await new Promise((resolve) => {
                const timer = setTimeout(resolve, left);
                this.waiters.push(() => { clearTimeout(timer); resolve(); });
            });
        }
    }

    /** One HTTP response with Content-Length; null when the server closed without one. */
    async response({ head = false } = {}) {
        return this.take('a response', (bytes) => {
            const split = bytes.indexOf('\r\n\r\n');
            if (split < 0) return null;
            const lines = bytes.subarray(0, split).toString('latin1').split('\r\n');
            const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(lines[0])?.[1]);
            const headers = Object.fromEntries(lines.slice(1).map((line) => {
                const colon = line.indexOf(':');
                return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
            }));
            const length = head || status < 200 || status === 204 || status === 304 ? 0 : Number(headers['content-length'] || 0);
            if (bytes.length < split + 4 + length) return null;
            const text = bytes.subarray(split + 4, split + 4 + length).toString('utf8');
            return { used: split + 4 + length, status, headers, text };
        });
    }

    /** Waits for the peer's end; true when it came in time. */
    async end(ms = WAIT_MS) {
        await this.take('the end of the connection', () => (this.ended ? { used: 0 } : null), ms);
        this.socket.destroy();
        return this.ended;
    }

    destroy() {
        this.socket.destroy();
    }
}

/** Sends one request and gives its response; the connection is closed after. */
export async function exchange(server, request, options) {
    const raw = await RawSocket.open(server);
    try {
        raw.write(request);
        return await raw.response(options);
    } finally {
        raw.destroy();
    }
}

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/** A frame as a client sends it. `mask: false` and odd bits are there to be refused. */
export function frame(opcode, payload = '', { fin = true, mask = true, rsv = 0, length } = {}) {
    const data = Buffer.from(payload);
    const n = length ?? data.length;
    const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
    const masked = mask ? 0x80 : 0;
    if (n < 126) {
        head.push(masked | n);
    } else if (n < 65536) {
        head.push(masked | 126, n >> 8, n & 255);
    } else {
        const wide = Buffer.alloc(8);
        wide.writeBigUInt64BE(BigInt(n));
        head.push(masked | 127, ...wide);
    }
    if (!mask) return Buffer.concat([Buffer.from(head), data]);
    const key = randomBytes(4);
    for (let i = 0; i < data.length; i++) data[i] ^= key[i & 3];
    return Buffer.concat([Buffer.from(head), key, data]);
}

/** A WebSocket handshake's bytes; `lines` replace or add headers (null leaves one out). */
export function handshake(server, target, { token, lines = {}, method = 'GET', version = 'HTTP/1.1' } = {}) {
    const headers = {
        Host: `${server.host}:${server.port}`, Upgrade: 'websocket', Connection: 'Upgrade',
        'Sec-WebSocket-Key': randomBytes(16).toString('base64'), 'Sec-WebSocket-Version': '13',
        Authorization: token && `Bearer ${token}`, ...lines,
    };
    const text = Object.entries(headers).filter(([, value]) => value).map(([name, value]) => `${name}: ${value}\r\n`);
    return `${method} ${target} ${version}\r\n${text.join('')}\r\n`;
}

/** A raw WebSocket, upgraded. */
export class RawWebSocket extends RawSocket {
    static async join(server, target, options) {
        const raw = new RawWebSocket(net.connect(server.port, server.host));
        raw.write(handshake(server, target, options));
        raw.answer = await raw.response();
        if (raw.answer?.status !== 101) {
            raw.destroy();
            throw new Error(`the handshake was answered with ${raw.answer?.status} ${raw.answer?.text}`);
        }
        return raw;
    }

    /** The next frame: { opcode, fin, payload, masked, code }; null at the end. */
    async frame(ms) {
        return this.take('a frame', (bytes) => {
            if (bytes.length < 2) return null;
            let n = bytes[1] & 127;
            let at = 2;
            if (n === 126) {
                if (bytes.length < 4) return null;
                n = bytes.readUInt16BE(2);
                at = 4;
            } else if (n === 127) {
                if (bytes.length < 10) return null;
                n = Number(bytes.readBigUInt64BE(2));
                at = 10;
            }
            if (bytes.length < at + n) return null;
            const payload = bytes.subarray(at, at + n);
            const opcode = bytes[0] & 15;
            const code = opcode === OPCODE.close && n >= 2 ? payload.readUInt16BE(0) : undefined;
            return { used: at + n, fin: bytes[0] >= 0x80, opcode, payload, masked: bytes[1] >= 0x80, code };
        }, ms);
    }

    /** Passes over messages until the close frame: its code; 1006 when there was none. */
    async closeCode(ms) {
        for (;;) {
            const got = await this.frame(ms);
            if (!got) return 1006;
            if (got.opcode === OPCODE.close) return got.code ?? 1005;
        }
    }

    /** The next text message that is no presence, as JSON. */
    async message(ms) {
        for (;;) {
            const got = await this.frame(ms);
            if (!got) return null;
            if (got.opcode !== OPCODE.text) throw new Error(`a frame with opcode ${got.opcode}`);
            const message = JSON.parse(got.payload.toString('utf8'));
            if (!message.type.startsWith('presence')) return message;
        }
    }
}
