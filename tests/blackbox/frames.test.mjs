/* Protocol section 3 and RFC 6455: frames, fragments, control frames and close codes, byte by byte. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server } from './harness.mjs';
import { OPCODE, RawWebSocket, frame } from './raw.mjs';

let server;
let id;
before(async () => {
    server = await Server.start();
    id = (await server.createDoc('ann', { content: 'abc' })).id;
});
after(() => server.end());

async function join() {
    const raw = await RawWebSocket.join(server, `/ws/docs/${id}`, { token: server.token('ann') });
    raw.welcome = await raw.message();
    assert.equal(raw.welcome.type, 'welcome');
    return raw;
}

const PING = '{"type":"ping"}';

describe('a message arrives', () => {
    test('in one frame, answered in one unmasked text frame', async () => {
        const raw = await join();
        raw.write(frame(OPCODE.text, PING));
        const answer = await raw.frame();
        assert.deepEqual([answer.opcode, answer.fin, answer.masked, answer.payload.toString()], [OPCODE.text, true, false, '{"type":"pong"}']);
        raw.destroy();
    });

    test('in fragments, also empty ones, cut inside a character, with control frames between', async () => {
        const raw = await join();
        const text = Buffer.from('{"type":"ping","x":"\u{1f600}ä"}');
        const cut = text.indexOf(Buffer.from('\u{1f600}')) + 2;
        raw.write(Buffer.concat([
            frame(OPCODE.text, text.subarray(0, 3), { fin: false }), frame(OPCODE.continuation, '', { fin: false }), frame(OPCODE.ping, 'between'),
            frame(OPCODE.continuation, text.subarray(3, cut), { fin: false }), frame(OPCODE.pong, 'unasked'), frame(OPCODE.continuation, text.subarray(cut))]));
        const pong = await raw.frame();
        assert.deepEqual([pong.opcode, pong.payload.toString()], [OPCODE.pong, 'between']);
        assert.equal((await raw.message()).type, 'pong');
        raw.destroy();
    });

    test('byte by byte, and several in one segment', async () => {
        const raw = await join();
        raw.socket.setNoDelay(true);
        for (const byte of frame(OPCODE.text, PING)) {
            raw.write(Buffer.from([byte]));
            await new Promise(setImmediate);
        }
        assert.equal((await raw.message()).type, 'pong');
        raw.write(Buffer.concat(Array.from({ length: 20 }, () => frame(OPCODE.text, PING))));
        for (let i = 0; i < 20; i++) assert.equal((await raw.message()).type, 'pong');
        raw.destroy();
    });

    for (const n of [125, 126, 127, 65535, 65536, 200000]) {
        test(`of ${n} bytes`, async () => {
            const raw = await join();
            raw.write(frame(OPCODE.text, PING.padEnd(n, ' ')));
            assert.equal((await raw.message()).type, 'pong');
            raw.destroy();
        });
    }
});

describe('control frames', () => {
    test('a ping is answered with its payload', async () => {
        const raw = await join();
        for (const payload of ['', 'x', 'p'.repeat(125)]) {
            raw.write(frame(OPCODE.ping, payload));
            const pong = await raw.frame();
            assert.deepEqual([pong.opcode, pong.payload.toString()], [OPCODE.pong, payload]);
        }
        raw.destroy();
    });

    test('a close is answered with its code and the connection ends', async () => {
        for (const code of [1000, 1001, 3000, 4999]) {
            const raw = await join();
            raw.write(frame(OPCODE.close, Buffer.from([code >> 8, code & 255])));
            assert.equal(await raw.closeCode(), code);
            assert.equal(await raw.end(), true);
        }
    });

    test('a close without a code is answered', async () => {
        const raw = await join();
        raw.write(frame(OPCODE.close));
        assert.ok([1000, 1005].includes(await raw.closeCode()));
        assert.equal(await raw.end(), true);
    });

    test('nothing is taken after a close', async () => {
        const raw = await join();
        const op = { type: 'insert', pos: 0, str: 'late', version: raw.welcome.version };
        raw.write(Buffer.concat([frame(OPCODE.close, Buffer.from([3, 232])), frame(OPCODE.text, JSON.stringify(op))]));
        assert.equal(await raw.closeCode(), 1000);
        await raw.end();
        assert.equal((await server.getDoc('ann', id)).version, raw.welcome.version);
    });
});

describe('a breach closes the connection', () => {
    const breaches = [
        ['an unmasked frame', 1002, () => frame(OPCODE.text, PING, { mask: false })],
        ['a reserved bit', 1002, () => frame(OPCODE.text, PING, { rsv: 4 })],
        ['a reserved data opcode', 1002, () => frame(3, 'x')],
        ['a reserved control opcode', 1002, () => frame(11, 'x')],
        ['a continuation of nothing', 1002, () => frame(OPCODE.continuation, 'x')],
        ['a new message inside a fragmented one', 1002, () => Buffer.concat([frame(OPCODE.text, '{', { fin: false }), frame(OPCODE.text, PING)])],
        ['a fragmented control frame', 1002, () => frame(OPCODE.ping, 'x', { fin: false })],
        ['a control frame over 125 bytes', 1002, () => frame(OPCODE.ping, 'x'.repeat(126))],
        ['a close frame of one byte', 1002, () => frame(OPCODE.close, 'x')],
        ['a close code that is not sent', 1002, () => frame(OPCODE.close, Buffer.from([3, 237]))], // 1005
        ['a close code below 1000', 1002, () => frame(OPCODE.close, Buffer.from([0, 1]))],
        ['a close code of 1015', 1002, () => frame(OPCODE.close, Buffer.from([3, 247]))],
        ['a close reason that is not UTF-8', 1007, () => frame(OPCODE.close, Buffer.from([3, 232, 0xc3, 0x28]))],
        ['a length with its top bit set', 1002, () => Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])],
        ['a binary frame', 1003, () => frame(OPCODE.binary, 'x')],
        ['an empty binary frame', 1003, () => frame(OPCODE.binary, '')],
        ['a text that is not UTF-8', 1007, () => frame(OPCODE.text, Buffer.from([0x22, 0xc3, 0x28, 0x22]))],
        ['a text with an encoded surrogate', 1007, () => frame(OPCODE.text, Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]))],
        ['an overlong encoding', 1007, () => frame(OPCODE.text, Buffer.from([0x22, 0xc0, 0xaf, 0x22]))],
        ['a text cut inside a character', 1007, () => frame(OPCODE.text, Buffer.from([0x22, 0xf0, 0x9f, 0x98]))],
        ['a code point past the last', 1007, () => frame(OPCODE.text, Buffer.from([0x22, 0xf4, 0x90, 0x80, 0x80, 0x22]))],
        ['a message over the limit, by its length alone', 1009, () => frame(OPCODE.text, '', { length: (1 << 20) + 1 })],
        ['a length that no memory holds', 1009, () => frame(OPCODE.text, '', { length: 2 ** 52 })],
        ['fragments that are over the limit together', 1009, () => Buffer.concat([frame(OPCODE.text, 'x'.repeat(700000), { fin: false }), frame(OPCODE.continuation, 'x'.repeat(700000))])],
    ];
    for (const [name, code, bytes] of breaches) {
        test(`${name}: ${code}`, async () => {
            const raw = await join();
            raw.write(bytes());
            assert.equal(await raw.closeCode(), code);
            assert.equal(await raw.end(), true);
        });
    }

    test('a message of exactly the limit is taken', async () => {
        const raw = await join();
        const n = raw.welcome.limits.message_bytes;
        raw.write(frame(OPCODE.text, PING.padEnd(n, ' ')));
        assert.equal((await raw.message()).type, 'pong');
        raw.write(frame(OPCODE.text, PING.padEnd(n + 1, ' ')));
        assert.equal(await raw.closeCode(), 1009);
        raw.destroy();
    });

    test('others in the document go on', async () => {
        const good = await server.join(id, { as: 'ann' });
        const raw = await join();
        raw.write(frame(3, 'x'));
        await raw.closeCode();
        assert.equal((await good.op({ type: 'insert', pos: 0, str: 'x', seq: 1, version: good.welcome.version })).type, 'ack');
        await good.close();
    });
});
