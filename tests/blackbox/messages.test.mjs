/* Protocol sections 2 and 3: op, ops, ack, error, and exactly once, over WebSocket. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { RFC3339_MS, Server, assertError } from './harness.mjs';
import { contentDelta, historyOf, normal, replay } from './oracle.mjs';

let server;
before(async () => { server = await Server.start(); });
after(() => server.end());

const insert = (pos, str, more) => ({ type: 'insert', pos, str, ...more });
const shape = ({ client_id: c, seq, version, ...op }) => op;

/** A document and two connections of two users to it. */
async function pair(body = { content: 'abc' }) {
    const { id } = await server.createDoc('ann', body);
    await server.share('ann', id, 'bob', 'editor');
    const [ann, bob] = await Promise.all([server.join(id, { as: 'ann' }), server.join(id, { as: 'bob' })]);
    return { id, ann, bob, close: () => Promise.all([ann.close(), bob.close()]) };
}

describe('op', () => {
    test('is acknowledged to its sender and broadcast to the others, with every field', async () => {
        const { ann, bob, close } = await pair();
        assert.deepEqual(await ann.op(insert(3, 'd', { seq: 1, version: 0 })), { type: 'ack', client_id: ann.clientId, seq: 1, new_version: 1 });
        const message = await bob.next('op');
        assert.match(message.timestamp, RFC3339_MS);
        assert.deepEqual(message, { type: 'op', new_version: 1, user_id: 'ann', timestamp: message.timestamp,
            op: { type: 'insert', pos: 3, str: 'd', client_id: ann.clientId, seq: 1, version: 0 } });
        assert.deepEqual(await ann.flush(), [], 'the sender gets the ack alone');
        await close();
    });

    const forms = [
        ['an insert', insert(1, 'X', { attributes: { bold: true } })],
        ['an insert without attributes', insert(0, 'x\u{1f600}')],
        ['a delete', { type: 'delete', pos: 1, len: 2 }],
        ['a format', { type: 'format', pos: 0, len: 2, attributes: { bold: true, italic: null } }],
        ['a delta of several components', { type: 'delta', ops: [{ retain: 1 }, { insert: 'x' }, { delete: 1 }] }],
        ['a delta that inserts an embed', { type: 'delta', ops: [{ retain: 1 }, { insert: { image: 'x.png' }, attributes: { width: '50' } }] }],
        ['an empty delta', { type: 'delta', ops: [] }],
    ];
    for (const [name, op] of forms) {
        test(`${name} arrives in that canonical form`, async () => {
            const { id, ann, bob, close } = await pair({ type: 'rich', content: { ops: [{ insert: 'abc' }] } });
            assert.equal((await ann.op({ ...op, seq: 1, version: 0 })).type, 'ack');
            assert.deepEqual(shape((await bob.next('op')).op), op);
            const doc = await server.getDoc('ann', id);
            assert.equal(normal(replay({ ops: [{ insert: 'abc' }] }, await historyOf(server, 'ann', id))), normal(contentDelta(doc.content)));
            await close();
        });
    }

    const canonical = [
        ['a delta that is one insert', [{ retain: 1 }, { insert: 'x' }, { insert: 'y' }], insert(1, 'xy')],
        ['a delta that is one delete', [{ delete: 1 }, { delete: 1 }], { type: 'delete', pos: 0, len: 2 }],
        ['a delta that is one format', [{ retain: 2, attributes: { b: 1 } }, { retain: 1 }], { type: 'format', pos: 0, len: 2, attributes: { b: 1 } }],
        ['mere retains', [{ retain: 1 }, { retain: 2 }], { type: 'delta', ops: [] }],
        ['a delete before an insert', [{ delete: 1 }, { insert: 'x' }], { type: 'delta', ops: [{ insert: 'x' }, { delete: 1 }] }],
        ['neighbours of equal attributes in another order of keys',
            [{ insert: 'a', attributes: { x: 1, y: { q: 1, p: 2 } } }, { insert: 'b', attributes: { y: { p: 2, q: 1 }, x: 1.0 } }],
            insert(0, 'ab', { attributes: { x: 1, y: { p: 2, q: 1 } } })],
    ];
    for (const [name, ops, want] of canonical) {
        test(`${name} is broadcast in its simplest form`, async () => {
            const { ann, bob, close } = await pair({ type: 'rich', content: { ops: [{ insert: 'abc' }] } });
            assert.equal((await ann.op({ type: 'delta', ops, seq: 1, version: 0 })).type, 'ack');
            assert.deepEqual(shape((await bob.next('op')).op), want);
            await close();
        });
    }

    test('raises the version by one also where nothing is left of it', async () => {
        const { ann, bob, close } = await pair();
        await ann.op({ type: 'delete', pos: 0, len: 3, seq: 1, version: 0 });
        assert.equal((await bob.next('op')).new_version, 1);
        const ack = await bob.op({ type: 'delete', pos: 1, len: 1, seq: 1, version: 0 });
        assert.equal(ack.new_version, 2);
        assert.deepEqual(shape((await ann.next('op')).op), { type: 'delta', ops: [] });
        await close();
    });

    test('of two inserts at one position the earlier accepted one stays left', async () => {
        const { id, ann, bob, close } = await pair();
        await ann.op(insert(1, 'ANN', { seq: 1, version: 0 }));
        await bob.next('op');
        await bob.op(insert(1, 'BOB', { seq: 1, version: 0 }));
        assert.equal((await ann.next('op')).op.pos, 4);
        assert.equal((await server.getDoc('ann', id)).content, 'aANNBOBbc');
        await close();
    });

    test('of two changes of one attribute the earlier one stands', async () => {
        const { id, ann, bob, close } = await pair({ type: 'rich', content: { ops: [{ insert: 'abc' }] } });
        await ann.op({ type: 'format', pos: 0, len: 3, attributes: { color: 'red' }, seq: 1, version: 0 });
        await bob.next('op');
        await bob.op({ type: 'format', pos: 0, len: 3, attributes: { color: 'blue', bold: true }, seq: 1, version: 0 });
        assert.deepEqual(shape((await ann.next('op')).op), { type: 'format', pos: 0, len: 3, attributes: { bold: true } });
        assert.deepEqual((await server.getDoc('ann', id)).content, { ops: [{ insert: 'abc', attributes: { color: 'red', bold: true } }] });
        await close();
    });

    test('positions are UTF-16 code units', async () => {
        const { id, ann, close } = await pair({ content: 'a\u{1f600}b' });
        assert.equal((await ann.op(insert(3, 'x', { seq: 1, version: 0 }))).type, 'ack');
        assert.equal((await ann.op({ type: 'delete', pos: 1, len: 2, seq: 2, version: 1 })).type, 'ack');
        assert.equal((await server.getDoc('ann', id)).content, 'axb');
        await close();
    });

    test('may come bare, without client_id and seq; its ack has seq null', async () => {
        const { ann, bob, close } = await pair();
        ann.send(insert(0, 'x', { version: 0 }));
        assert.deepEqual(await ann.next('ack'), { type: 'ack', client_id: ann.clientId, seq: null, new_version: 1 });
        const { op } = await bob.next('op');
        assert.equal(op.client_id, ann.clientId);
        assert.equal(op.seq ?? null, null);
        ann.send({ type: 'delta', ops: [{ insert: 'y' }], version: 1, seq: 1 });
        assert.deepEqual(await ann.next('ack'), { type: 'ack', client_id: ann.clientId, seq: 1, new_version: 2 });
        await close();
    });

    test('unknown members of messages and ops are passed over', async () => {
        const { ann, close } = await pair();
        ann.send({ type: 'op', trace: { a: [1] }, op: insert(0, 'x', { client_id: ann.clientId, seq: 1, version: 0, note: 'hi' }) });
        assert.equal((await ann.next('ack')).new_version, 1);
        await close();
    });

    test('an `op` and `ack` of one connection come in the order of versions, without a gap', async () => {
        const { id, ann, bob, close } = await pair({ content: '' });
        const n = 40;
        const write = async (socket) => {
            for (let seq = 1; seq <= n; seq++) {
                socket.send({ type: 'op', op: insert(0, 'x', { client_id: socket.clientId, seq, version: socket.seen.length }) });
                for (;;) {
                    const message = await socket.next((m) => m.type === 'ack' || m.type === 'op');
                    socket.seen.push(message.new_version);
                    if (message.type === 'ack') break;
                }
            }
        };
        ann.seen = [];
        bob.seen = [];
        await Promise.all([write(ann), write(bob)]);
        for (const socket of [ann, bob]) {
            while (socket.seen.length < 2 * n) socket.seen.push((await socket.next('op')).new_version);
            assert.deepEqual(socket.seen, Array.from({ length: 2 * n }, (_, i) => i + 1));
        }
        assert.equal((await server.getDoc('ann', id)).content.length, 2 * n);
        await close();
    });
});

describe('ops', () => {
    const batch = (socket, list, more = {}) => {
        socket.send({ type: 'ops', ops: list.map((op, i) => ({ client_id: socket.clientId, seq: i + 1, version: 0, ...op, ...more })) });
    };

    test('made on top of each other, all with one base, get consecutive versions and an ack each', async () => {
        const { id, ann, bob, close } = await pair();
        batch(ann, [insert(3, 'd'), insert(4, 'e'), { type: 'delete', pos: 0, len: 1 }]);
        for (let seq = 1; seq <= 3; seq++) {
            assert.deepEqual(await ann.next('ack'), { type: 'ack', client_id: ann.clientId, seq, new_version: seq });
            assert.equal((await bob.next('op')).new_version, seq);
        }
        assert.equal((await server.getDoc('ann', id)).content, 'bcde');
        await close();
    });

    test('are carried past what came since, each in turn', async () => {
        const { id, ann, bob, close } = await pair();
        await bob.op(insert(0, '__', { seq: 1, version: 0 }));
        await ann.next('op');
        batch(ann, [insert(3, 'd'), insert(4, 'e')]);
        assert.equal((await ann.next('ack')).new_version, 2);
        assert.equal((await ann.next('ack')).new_version, 3);
        assert.equal((await server.getDoc('ann', id)).content, '__abcde');
        await close();
    });

    test('where one is refused, those before it stand, and one error names its seq', async () => {
        const { id, ann, close } = await pair();
        batch(ann, [insert(3, 'd'), insert(99, 'x'), insert(0, 'y')]);
        assert.equal((await ann.next('ack')).new_version, 1);
        assertError(await ann.next('error'), 'op_invalid', { seq: 2 });
        assert.deepEqual(await ann.flush(), []);
        assert.equal((await server.getDoc('ann', id)).content, 'abcd');
        assert.equal((await ann.op(insert(0, 'z', { seq: 2, version: 1 }))).new_version, 2, 'seq 2 is still free');
        await close();
    });

    test('with different base versions are refused', async () => {
        const { id, ann, close } = await pair();
        const list = [insert(0, 'x', { version: 0 }), insert(0, 'y', { version: 1 })].map((op, i) => ({ client_id: ann.clientId, seq: i + 1, ...op }));
        ann.send({ type: 'ops', ops: list });
        const answers = [await ann.next(), ...(await ann.flush())];
        assert.ok(answers.some((m) => m.type === 'error' && ['op_invalid', 'bad_message'].includes(m.code)), JSON.stringify(answers));
        assert.ok((await server.getDoc('ann', id)).version <= 1);
        await close();
    });

    test('with another form of list, or what is no op in it, are op_invalid: the message is a known one', async () => {
        const { ann, close } = await pair();
        for (const ops of [{}, 7, null, 'x', [], [7], [{}], [{ type: 'erase' }]]) {
            ann.send({ type: 'ops', ops });
            assertError(await ann.next('error'), 'op_invalid');
        }
        await close();
    });
});

describe('exactly once', () => {
    test('a resent op changes nothing and gets the ack that it got then', async () => {
        const { id, ann, bob, close } = await pair();
        const op = insert(0, 'x', { seq: 1, version: 0 });
        const first = await ann.op(op);
        await bob.next('op');
        await bob.op(insert(0, 'y', { seq: 1, version: 1 }));
        await ann.next('op');
        assert.deepEqual(await ann.op(op), first);
        assert.deepEqual(await ann.op({ ...op, version: 2 }), first, 'whatever its version');
        assert.deepEqual(await bob.flush(), [], 'nothing is broadcast again');
        assert.equal((await server.getDoc('ann', id)).version, 2);
        await close();
    });

    test('new_version is null where it is older than the client\u2019s last accepted message', async () => {
        const { ann, close } = await pair();
        await ann.op(insert(0, 'x', { seq: 1, version: 0 }));
        await ann.op(insert(0, 'y', { seq: 2, version: 1 }));
        assert.deepEqual(await ann.op(insert(0, 'x', { seq: 1, version: 0 })), { type: 'ack', client_id: ann.clientId, seq: 1, new_version: null });
        assert.equal((await ann.op(insert(0, 'y', { seq: 2, version: 1 }))).new_version, 2);
        await close();
    });

    test('every op of the last accepted message is known, also after a reconnect', async () => {
        const { id, ann, bob } = await pair();
        const ops = [insert(0, 'x'), insert(1, 'y'), insert(2, 'z')].map((op, i) => ({ ...op, client_id: ann.clientId, seq: i + 1, version: 0 }));
        ann.send({ type: 'ops', ops });
        for (let i = 1; i <= 3; i++) await ann.next('ack');
        await ann.close();
        const again = await server.join(id, { as: 'ann', clientId: ann.clientId, version: 3 });
        await again.next('synced');
        again.send({ type: 'ops', ops });
        for (let i = 1; i <= 3; i++) assert.deepEqual(await again.next('ack'), { type: 'ack', client_id: ann.clientId, seq: i, new_version: i });
        assert.equal((await server.getDoc('ann', id)).content, 'xyzabc');
        await Promise.all([again.close(), bob.close()]);
    });

    test('a message of resent and new ops acknowledges the old and accepts the new', async () => {
        const { id, ann, close } = await pair();
        const ops = [insert(0, 'x'), insert(1, 'y'), insert(2, 'z')].map((op, i) => ({ ...op, client_id: ann.clientId, seq: i + 1, version: 0 }));
        await ann.op(ops[0]);
        await ann.op({ ...ops[1], version: 1 });
        await ann.op({ ...ops[1], version: 1 });
        assert.equal((await server.getDoc('ann', id)).content, 'xyabc');
        ann.send({ type: 'ops', ops: [{ ...ops[1], version: 1 }, { ...ops[2], version: 2 }].map((op) => ({ ...op, version: 2 })) });
        assert.equal((await ann.next('ack')).new_version, 2);
        const last = await ann.next();
        assert.equal(last.type, 'ack', JSON.stringify(last));
        assert.equal(last.new_version, 3);
        assert.equal((await server.getDoc('ann', id)).content, 'xyzabc');
        await close();
    });

    test('the same seq with another payload is seq_reused', async () => {
        const { id, ann, close } = await pair();
        await ann.op(insert(0, 'x', { seq: 1, version: 0 }));
        for (const op of [insert(0, 'y'), insert(1, 'x'), { type: 'delete', pos: 0, len: 1 }]) {
            assertError(await ann.op({ ...op, seq: 1, version: 0 }), 'seq_reused', { seq: 1 });
        }
        assert.equal((await server.getDoc('ann', id)).content, 'xabc');
        await close();
    });

    test('a gap in seq is seq_gap; the first seq is 1', async () => {
        const { ann, close } = await pair();
        assertError(await ann.op(insert(0, 'x', { seq: 2, version: 0 })), 'seq_gap', { seq: 2 });
        await ann.op(insert(0, 'x', { seq: 1, version: 0 }));
        assertError(await ann.op(insert(0, 'x', { seq: 3, version: 1 })), 'seq_gap', { seq: 3 });
        await close();
    });
});

describe('how far an op reaches', () => {
    const delta = (ops, more) => ({ type: 'delta', ops, ...more });

    test('is judged at its own base: retains to the end pass, also past what others have done since', async () => {
        const { ann, bob, close } = await pair();
        assert.equal((await ann.op(delta([{ retain: 1 }, { delete: 2 }], { seq: 1, version: 0 }))).type, 'ack');
        assert.equal((await ann.op(insert(1, 'wxyz', { seq: 2, version: 1 }))).type, 'ack');
        await bob.next('op');
        await bob.next('op');
        assert.equal((await bob.op(delta([{ insert: 'B' }, { retain: 3 }], { seq: 1, version: 0 }))).type, 'ack');
        assertError(await bob.op(delta([{ insert: 'B' }, { retain: 7 }], { seq: 2, version: 3 })), 'op_invalid', { seq: 2 });
        await close();
    });

    test('is judged at its own base: one too far is refused, though the document has grown since', async () => {
        const { ann, bob, close } = await pair();
        assert.equal((await ann.op(insert(0, 'wxyz', { seq: 1, version: 0 }))).type, 'ack');
        await bob.next('op');
        assertError(await bob.op(delta([{ insert: 'B' }, { retain: 4 }], { seq: 1, version: 0 })), 'op_invalid', { seq: 1 });
        assertError(await bob.op(delta([{ retain: 4 }], { seq: 1, version: 0 })), 'op_invalid', { seq: 1 });
        assert.equal((await bob.op(delta([{ retain: 3 }], { seq: 1, version: 0 }))).type, 'ack');
        await close();
    });
});

describe('errors leave the connection open and the document as it was', () => {
    const cases = [
        ['an insert past the end', insert(4, 'x'), 'op_invalid'],
        ['a delete past the end', { type: 'delete', pos: 2, len: 2 }, 'op_invalid'],
        ['a delta past the end', { type: 'delta', ops: [{ retain: 4 }, { insert: 'x' }] }, 'op_invalid'],
        ['a delta that retains past the end', { type: 'delta', ops: [{ insert: 'x' }, { retain: 4 }] }, 'op_invalid'],
        ['mere retains past the end', { type: 'delta', ops: [{ retain: 4 }] }, 'op_invalid'],
        ['an insert of nothing', insert(0, ''), 'op_invalid'],
        ['a delete of length 0', { type: 'delete', pos: 0, len: 0 }, 'op_invalid'],
        ['a delta with an insert of nothing', { type: 'delta', ops: [{ insert: '' }] }, 'op_invalid'],
        ['a delta with a retain of 0', { type: 'delta', ops: [{ retain: 0 }] }, 'op_invalid'],
        ['a delta with a delete of 0', { type: 'delta', ops: [{ delete: 0 }] }, 'op_invalid'],
        ['a delta with a negative retain', { type: 'delta', ops: [{ retain: -1 }] }, 'op_invalid'],
        ['a delta component of two kinds', { type: 'delta', ops: [{ retain: 1, delete: 1 }] }, 'op_invalid'],
        ['a delta component of no kind', { type: 'delta', ops: [{ attributes: {} }] }, 'op_invalid'],
        ['attributes in a text', insert(0, 'x', { attributes: { bold: true } }), 'op_invalid'],
        ['a format in a text', { type: 'format', pos: 0, len: 1, attributes: { bold: true } }, 'op_invalid'],
        ['an embed in a text', { type: 'delta', ops: [{ insert: { image: 'x' } }] }, 'op_invalid'],
        ['a negative position', insert(-1, 'x'), 'op_invalid'],
        ['a fractional position', insert(0.5, 'x'), 'op_invalid'],
        ['a position that is a string', insert('0', 'x'), 'op_invalid'],
        ['a str that is a number', insert(0, 7), 'op_invalid'],
        ['a missing position', { type: 'insert', str: 'x' }, 'op_invalid'],
        ['a missing str', { type: 'insert', pos: 0 }, 'op_invalid'],
        ['a missing len', { type: 'delete', pos: 0 }, 'op_invalid'],
        ['a missing ops', { type: 'delta' }, 'op_invalid'],
        ['a huge len', { type: 'delete', pos: 0, len: 9007199254740993 }, 'op_invalid'],
        ['sums that overflow', { type: 'delta', ops: [{ retain: 9007199254740991 }, { delete: 9007199254740991 }] }, 'op_invalid'],
        ['a seq of 0', insert(0, 'x', { seq: 0 }), 'op_invalid'],
        ['a seq that is a string', insert(0, 'x', { seq: '1' }), 'op_invalid'],
        ['a version that is negative', insert(0, 'x', { version: -1 }), 'op_invalid'],
        ['a version ahead', insert(0, 'x', { version: 1 }), 'version_ahead'],
        ['another client_id', insert(0, 'x', { client_id: 'somebody' }), 'forbidden'],
        ['a format without attributes in a text', { type: 'format', pos: 0, len: 1, attributes: {} }, 'op_invalid'],
        ['an unknown op type', { type: 'erase', pos: 0 }, 'op_invalid'],
    ];
    for (const [name, op, code] of cases) {
        test(`${name}: ${code}`, async () => {
            const { id, ann, bob, close } = await pair();
            assertError(await ann.op({ seq: 1, version: 0, ...op }), code);
            assert.equal((await ann.op(insert(0, 'x', { seq: 1, version: 0 }))).new_version, 1);
            assert.equal((await bob.next('op')).op.str, 'x');
            assert.equal((await server.getDoc('ann', id)).content, 'xabc');
            await close();
        });
    }

    test('an op that would split a surrogate pair: op_invalid, at either end', async () => {
        const { id, ann, close } = await pair({ content: '\u{1f600}\u{1f601}' });
        for (const op of [insert(1, 'x'), { type: 'delete', pos: 1, len: 1 }, { type: 'delete', pos: 0, len: 1 }, { type: 'delete', pos: 1, len: 2 },
            { type: 'delta', ops: [{ retain: 3 }, { insert: 'x' }] }]) {
            assertError(await ann.op({ ...op, seq: 1, version: 0 }), 'op_invalid', { seq: 1 });
        }
        assert.equal((await server.getDoc('ann', id)).version, 0);
        await close();
    });

    test('a base below what the client\u2019s own last accepted op got: op_invalid', async () => {
        const { ann, close } = await pair();
        await ann.op(insert(0, 'x', { seq: 1, version: 0 }));
        assertError(await ann.op(insert(0, 'y', { seq: 2, version: 0 })), 'op_invalid', { seq: 2 });
        assert.equal((await ann.op(insert(0, 'y', { seq: 2, version: 1 }))).new_version, 2);
        await close();
    });

    const bad = ['', 'x', '{', '[]', '7', '"op"', 'null', '{}', '{"type":7}', '{"type":"dance"}', '{"type":"op"}', '{"type":"op","op":7}', '{"type":"op","op":null}',
        '{"type":"op","op":[]}', '{"type":"op","op":{}}', '{"type":"ops"}', '{"type":"ping"} x', '{"type":"ping",}', "{'type':'ping'}", '{"type":"ping"', '\ufeff{"type":"ping"}',
        '{"type":"insert","pos":0,"str":"\\ud800","version":0}', '{"type":"insert","pos":0,"str":"\\u0000","version":0}', '{"type":"welcome"}', '{"type":"ack"}', '{"type":"auth"}',
        '{"type":"insert","pos":01,"str":"x","version":0}', '{"type":"insert","pos":0,"str":"a\tb","version":0}'];
    test('what is not JSON, no object, or lacks a known type: bad_message', async () => {
        const { id, ann, close } = await pair();
        for (const text of bad) {
            ann.send(text);
            const message = await ann.next('error');
            assert.ok(['bad_message', 'op_invalid', 'unauthorized'].includes(message.code), `${text}: ${JSON.stringify(message)}`);
            if (/^\{"type":"ops?"/.test(text)) assertError(message, 'op_invalid');
            else if (!/insert|auth/.test(text)) assertError(message, 'bad_message');
        }
        assert.equal((await server.getDoc('ann', id)).version, 0);
        await close();
    });

    test('attributes named as members of Object.prototype: op_invalid, since quill-delta finds them on every object', async () => {
        const { id, ann, close } = await pair({ type: 'rich', content: { ops: [{ insert: 'abc' }] } });
        const names = ['__proto__', ...Object.getOwnPropertyNames(Object.prototype)];
        for (const name of names) {
            for (const value of ['true', 'null']) {
                const attributes = `"attributes":{"a":1,${JSON.stringify(name)}:${value}},"seq":1,"version":0`;
                for (const op of [`{"type":"format","pos":0,"len":1,${attributes}}`, `{"type":"insert","pos":0,"str":"x",${attributes}}`]) {
                    ann.send(op);
                    assertError(await ann.next('error'), 'op_invalid', { seq: 1 });
                }
            }
        }
        assert.equal((await server.getDoc('ann', id)).version, 0);
        await close();
    });

    test('a client_id of null is the connection\u2019s', async () => {
        const { ann, close } = await pair();
        ann.send({ type: 'op', op: insert(0, 'x', { client_id: null, seq: 1, version: 0 }) });
        assert.equal((await ann.next('ack')).client_id, ann.clientId);
        await close();
    });

    test('JSON nested deep: bad_message, not a crash', async () => {
        const { ann, close } = await pair();
        ann.send(`{"type":"ping","x":${'['.repeat(100000)}${']'.repeat(100000)}}`);
        assert.ok(['error', 'pong'].includes((await ann.next()).type));
        ann.send('['.repeat(200000));
        assertError(await ann.next('error'), 'bad_message');
        await close();
    });
});

describe('other messages', () => {
    test('ping is answered with pong', async () => {
        const { ann, close } = await pair();
        ann.send({ type: 'ping' });
        assert.deepEqual(await ann.next('pong'), { type: 'pong' });
        await close();
    });

    test('auth with a fresh token for the same sub: auth_ok with expires_at', async () => {
        const { ann, close } = await pair();
        const exp = Math.floor(Date.now() / 1000) + 500;
        ann.send({ type: 'auth', token: server.token('ann', { exp }) });
        assert.deepEqual(await ann.next('auth_ok'), { type: 'auth_ok', expires_at: new Date(exp * 1000).toISOString() });
        await close();
    });

    test('auth with a bad token or another sub or tenant: unauthorized or forbidden, and the connection stays', async () => {
        const { ann, close } = await pair();
        for (const token of ['x', `${server.token('ann').slice(0, -4)}AAAA`, server.token('ann', { exp: 1 }), server.token('bob'), server.token('ann', { tenant: 't' })]) {
            ann.send({ type: 'auth', token });
            const message = await ann.next('error');
            assert.ok(['unauthorized', 'forbidden'].includes(message.code), JSON.stringify(message));
        }
        assert.equal((await ann.op(insert(0, 'x', { seq: 1, version: 0 }))).type, 'ack');
        await close();
    });
});
