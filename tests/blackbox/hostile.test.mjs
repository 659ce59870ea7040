/*
 * Clients that mean harm: what they do to one document or to themselves must not be felt by others.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PATIENCE, Server, sleep, until } from './harness.mjs';
import { RawSocket, handshake } from './raw.mjs';

/** Somebody who works in a document of his own meanwhile: every op is acknowledged, and soon. */
class Neighbour {
    static async start(server) {
        const neighbour = new Neighbour();
        const { id } = await server.createDoc('ned');
        neighbour.socket = await server.join(id, { as: 'ned', clientId: 'ned' });
        neighbour.worst = 0;
        neighbour.acks = 0;
        neighbour.isDone = false;
        neighbour.work = neighbour.run();
        neighbour.work.catch(() => {}); // seen by end()
        return neighbour;
    }

    async run() {
        for (let seq = 1; !this.isDone; seq++) {
            const from = performance.now();
            const answer = await this.socket.op({ type: 'insert', pos: 0, str: 'n', seq, version: seq - 1 });
            assert.equal(answer.type, 'ack', JSON.stringify(answer));
            this.worst = Math.max(this.worst, performance.now() - from);
            this.acks++;
            await sleep(5);
        }
    }

    /** Ends it; fails if it was refused, closed or delayed. */
    async end(ms) {
        this.isDone = true;
        await this.work;
        assert.ok(this.acks > 1, `${this.acks} acks`);
        assert.ok(this.worst < ms * PATIENCE, `an ack took ${this.worst.toFixed(0)} ms`);
    }
}

const request = (server, token, target) =>
    `GET ${target} HTTP/1.1\r\nHost: ${server.host}\r\nAuthorization: Bearer ${token}\r\n\r\n`;

describe('connections that ask for much and read nothing', () => {
    let server;
    let token;
    let doc;
    before(async () => {
        server = await Server.start({ args: ['--memory', '256M'] });
        token = server.token('hog');
        doc = await server.createDoc('hog', { content: '\u20ac'.repeat(300000) });
        const hog = await server.join(doc.id, { as: 'hog', clientId: 'hog' });
        for (let at = 0; at < 6000; at += 2000) {
            const ops = Array.from({ length: 2000 }, (_, i) => ({ type: 'insert', pos: 0, str: 'x', client_id: 'hog', seq: at + i + 1, version: at }));
            hog.send({ type: 'ops', ops });
            await hog.find('ack', (ack) => ack.new_version === at + 2000);
        }
        await hog.close();
    });
    after(() => server.end());

    const wants = {
        'whole content': (i) => handshake(server, `/ws/docs/${doc.id}?client_id=c${i}`, { token }),
        'catch-up from the beginning': (i) => handshake(server, `/ws/docs/${doc.id}?client_id=v${i}&version=0`, { token }),
        'documents over HTTP, pipelined': () => request(server, token, `/docs/${doc.id}`).repeat(4),
    };
    for (const [name, want] of Object.entries(wants)) {
        test(`${name}: nobody else is closed or waits, and there is room again`, async () => {
            const neighbour = await Neighbour.start(server);
            const hogs = [];
            for (let i = 0; i < 80; i++) {
                const hog = await RawSocket.open(server);
                hog.socket.pause();
                hog.write(want(i));
                hogs.push(hog);
            }
            await sleep(500);
            await until('the document can be read while they are there', async () => {
                const answer = await server.call('GET', `/docs/${doc.id}`, { as: 'hog' });
                return answer.status === 200 && answer.json.version === 6000;
            });
            await neighbour.end(1000);
            for (const hog of hogs) hog.destroy();
        });
    }
});

describe('work that one message asks for', () => {
    let server;
    before(async () => { server = await Server.start(); });
    after(() => server.end());

    test('formats over very many runs: what is too much at once is rate_limited, and can be sent again', async () => {
        const ops = Array.from({ length: 40000 }, (_, i) => ({ insert: 'a', attributes: { b: i % 7 } }));
        const doc = await server.createDoc('ann', { type: 'rich', content: { ops } });
        const ann = await server.join(doc.id, { as: 'ann', clientId: 'ann' });
        const neighbour = await Neighbour.start(server);
        let seq = 0;
        let version = 0;
        let nRefused = 0;
        const format = (n) => ({ type: 'format', pos: 0, len: 40000, attributes: { c: n }, client_id: 'ann', seq: n, version });
        while (seq < 12) {
            ann.send({ type: 'ops', ops: Array.from({ length: 12 - seq }, (_, i) => format(seq + i + 1)) });
            for (let more = true; more && seq < 12;) {
                const answer = await ann.next((m) => m.type === 'ack' || m.code === 'rate_limited');
                more = answer.type === 'ack';
                if (more) {
                    assert.equal(answer.seq, ++seq);
                    version = answer.new_version;
                } else {
                    assert.equal(answer.seq, seq + 1);
                    assert.ok(answer.retry && answer.retry_after_ms > 0);
                    nRefused++;
                }
            }
        }
        assert.equal(version, 12);
        assert.ok(nRefused > 0 && nRefused < 12, `${nRefused} messages were cut`);
        await neighbour.end(1000);
        const { content } = await server.getDoc('ann', doc.id);
        assert.deepEqual(content.ops[1], { insert: 'a', attributes: { b: 1, c: 12 } });
    });

    test('thousands of small ops past one op of thousands of components: carried in slices', async () => {
        const doc = await server.createDoc('ann', { content: 'z'.repeat(9000) });
        const ann = await server.join(doc.id, { as: 'ann', clientId: 'ann' });
        const bob = await server.join(doc.id, { as: 'ann', clientId: 'bob' });
        const comb = Array.from({ length: 4999 }, () => [{ retain: 1 }, { insert: 'q' }]).flat();
        assert.equal((await ann.op({ type: 'delta', ops: comb, seq: 1, version: 0 })).type, 'ack');
        const neighbour = await Neighbour.start(server);
        const small = Array.from({ length: 3000 }, (_, i) => ({ type: 'insert', pos: 8000, str: 'y', client_id: 'bob', seq: i + 1, version: 0 }));
        bob.send({ type: 'ops', ops: small });
        const last = await bob.find('ack', (ack) => ack.seq === 3000, 30000 * PATIENCE);
        assert.equal(last.new_version, 3001);
        await neighbour.end(500);
        const { content } = await server.getDoc('ann', doc.id);
        assert.equal(content, `${'zq'.repeat(4999)}${'z'.repeat(3001)}${'y'.repeat(3000)}${'z'.repeat(1000)}`);
    });

    test('a large attribute over many runs is refused before it is made for each', async () => {
        const ops = Array.from({ length: 20000 }, (_, i) => ({ insert: 'a', attributes: { b: i } }));
        const doc = await server.createDoc('ann', { type: 'rich', content: { ops } });
        const ann = await server.join(doc.id, { as: 'ann' });
        const neighbour = await Neighbour.start(server);
        const answer = await ann.op({ type: 'format', pos: 0, len: 20000, attributes: { q: 'Q'.repeat(900000) }, seq: 1, version: 0 });
        assert.equal(answer.code, 'too_large', JSON.stringify(answer));
        await sleep(100);
        await neighbour.end(1000);
    });
});
