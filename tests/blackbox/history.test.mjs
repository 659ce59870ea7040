/* Protocol sections 2 and 4: POST …/ops and GET …/history. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { RFC3339_MS, Server, assertProblem, until } from './harness.mjs';
import { Delta, contentDelta, contentOf, deltaOf, historyOf, normal, replay } from './oracle.mjs';

let server;
before(async () => { server = await Server.start(); });
after(() => server.end());

const ops = (id, list, { as = 'ann', ...more } = {}) => server.call('POST', `/docs/${id}/ops`, { as, body: { ops: list }, ...more });
const insert = (pos, str, more) => ({ type: 'insert', pos, str, ...more });

describe('POST /docs/{id}/ops', () => {
    test('answers an ack for each op, with consecutive versions', async () => {
        const { id } = await server.createDoc('ann', { content: 'abc' });
        const answer = await ops(id, [
            insert(3, 'd', { client_id: 'c1', seq: 1, version: 0 }), insert(4, 'e', { client_id: 'c1', seq: 2, version: 0 }),
            { type: 'delete', pos: 0, len: 1, client_id: 'c1', seq: 3, version: 0 }]);
        assert.equal(answer.status, 200);
        assert.deepEqual(answer.json, { acks: [{ seq: 1, new_version: 1 }, { seq: 2, new_version: 2 }, { seq: 3, new_version: 3 }] });
        assert.equal((await server.getDoc('ann', id)).content, 'bcde');
    });

    test('open connections see the ops', async () => {
        const { id } = await server.createDoc('ann', { content: 'abc' });
        const socket = await server.join(id, { as: 'ann' });
        await ops(id, [insert(0, 'x', { client_id: 'c1', seq: 1, version: 0 })]);
        const message = await socket.next('op');
        assert.deepEqual({ ...message, timestamp: null }, { type: 'op', user_id: 'ann', new_version: 1, timestamp: null,
            op: { type: 'insert', pos: 0, str: 'x', client_id: 'c1', seq: 1, version: 0 } });
        await socket.close();
    });

    test('without client_id and seq the ack has seq null', async () => {
        const { id } = await server.createDoc('ann');
        const answer = await ops(id, [insert(0, 'x', { version: 0 })]);
        assert.deepEqual(answer.json, { acks: [{ seq: null, new_version: 1 }] });
    });

    test('a resent message changes nothing and gets the acks that it got then', async () => {
        const { id } = await server.createDoc('ann');
        const list = [insert(0, 'a', { client_id: 'c1', seq: 1, version: 0 }), insert(1, 'b', { client_id: 'c1', seq: 2, version: 0 })];
        const first = await ops(id, list);
        assert.deepEqual((await ops(id, list)).json, first.json);
        assert.equal((await server.getDoc('ann', id)).content, 'ab');
        await ops(id, [insert(2, 'c', { client_id: 'c1', seq: 3, version: 2 })]);
        const old = await ops(id, list);
        assert.deepEqual(old.json, { acks: [{ seq: 1, new_version: null }, { seq: 2, new_version: null }] });
        assert.equal((await server.getDoc('ann', id)).version, 3);
    });

    test('errors carry the WebSocket\u2019s code with their status, and seq', async () => {
        const { id } = await server.createDoc('ann', { content: 'abc' });
        const client = { client_id: 'e1', version: 0 };
        const cases = [
            [422, 'op_invalid', insert(9, 'x', { ...client, seq: 1 })], [422, 'op_invalid', insert(0, '', { ...client, seq: 1 })],
            [422, 'op_invalid', { type: 'delete', pos: 0, len: 0, ...client, seq: 1 }],
            [422, 'op_invalid', { type: 'format', pos: 0, len: 1, attributes: { bold: true }, ...client, seq: 1 }],
            [409, 'seq_gap', insert(0, 'x', { ...client, seq: 2 })], [409, 'version_ahead', insert(0, 'x', { ...client, seq: 1, version: 1 })],
        ];
        for (const [status, code, op] of cases) {
            const problem = assertProblem(await ops(id, [op]), status, code);
            assert.equal(problem.seq, op.seq, JSON.stringify(op));
        }
        await ops(id, [insert(0, 'x', { ...client, seq: 1 })]);
        assertProblem(await ops(id, [insert(0, 'y', { ...client, seq: 1 })]), 409, 'seq_reused');
        assert.equal((await server.getDoc('ann', id)).content, 'xabc');
    });

    test('after a partial refusal: the acks of those before, and the seq of the refused one', async () => {
        const { id } = await server.createDoc('ann', { content: 'abc' });
        const answer = await ops(id, [
            insert(0, 'x', { client_id: 'c1', seq: 1, version: 0 }), insert(99, 'y', { client_id: 'c1', seq: 2, version: 0 }),
            insert(0, 'z', { client_id: 'c1', seq: 3, version: 0 })]);
        const problem = assertProblem(answer, 422, 'op_invalid');
        assert.deepEqual(problem.acks, [{ seq: 1, new_version: 1 }]);
        assert.equal(problem.seq, 2);
        assert.equal((await server.getDoc('ann', id)).content, 'xabc');
    });

    test('a partial refusal of ops without seq has acks and seq too', async () => {
        const { id } = await server.createDoc('ann', { content: 'abc' });
        const list = [{ type: 'insert', pos: 0, str: 'x', version: 0 }, { type: 'delete', pos: 9, len: 1, version: 0 }];
        const problem = assertProblem(await server.call('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops: list } }), 422, 'op_invalid');
        assert.deepEqual([problem.acks, problem.seq], [[{ seq: null, new_version: 1 }], null]);
    });

    test('what is no ops message is bad_message with 400, what in it is no op is op_invalid with 422', async () => {
        const { id } = await server.createDoc('ann');
        for (const body of ['', '{', '[]', '{}', '{"ops":null}', '{"ops":{}}']) {
            assertProblem(await server.call('POST', `/docs/${id}/ops`, { as: 'ann', body }), 400, 'bad_message');
        }
        for (const body of ['{"ops":[7]}', '{"ops":[{}]}', '{"ops":[{"type":"erase"}]}']) {
            assertProblem(await server.call('POST', `/docs/${id}/ops`, { as: 'ann', body }), 422, 'op_invalid');
        }
    });

    test('an empty list of ops changes nothing', async () => {
        const { id } = await server.createDoc('ann');
        const answer = await ops(id, []);
        assert.ok(answer.status === 200 || answer.status === 400, `${answer.status}`);
        if (answer.status === 200) assert.deepEqual(answer.json, { acks: [] });
        assert.equal((await server.getDoc('ann', id)).version, 0);
    });

    test('a body over the limit is too_large with 413', async () => {
        const { id } = await server.createDoc('ann');
        const big = insert(0, 'x'.repeat((1 << 20) + 10), { client_id: 'c1', seq: 1, version: 0 });
        const answer = await ops(id, [big], { headers: { connection: 'close' }, agent: false });
        assertProblem(answer, 413, 'too_large');
        assert.equal((await server.getDoc('ann', id)).version, 0);
    });

    test('another user\u2019s client_id is forbidden', async () => {
        const { id } = await server.createDoc('ann');
        await server.share('ann', id, 'bob', 'editor');
        await ops(id, [insert(0, 'a', { client_id: 'mine', seq: 1, version: 0 })]);
        assertProblem(await ops(id, [insert(0, 'b', { client_id: 'mine', seq: 1, version: 1 })], { as: 'bob' }), 403, 'forbidden');
    });
});

describe('GET /docs/{id}/history', () => {
    async function written(n) {
        const { id } = await server.createDoc('ann', { content: 'start' });
        for (let at = 0; at < n; at += 50) {
            const list = Array.from({ length: Math.min(50, n - at) }, (_, i) => insert(0, String.fromCharCode(97 + (at + i) % 26), { client_id: 'c1', seq: at + i + 1, version: at }));
            assert.equal((await ops(id, list)).status, 200);
        }
        return id;
    }

    test('items have every field, in order of version', async () => {
        const { id } = await server.createDoc('ann', { content: 'abc' });
        await ops(id, [insert(1, 'x', { client_id: 'c1', seq: 1, version: 0 }), { type: 'delete', pos: 0, len: 2, client_id: 'c1', seq: 2, version: 0 }]);
        const { items, cursor } = await server.ask('GET', `/docs/${id}/history`, { as: 'ann' });
        assert.equal(cursor, null);
        assert.equal(items.length, 2);
        assert.deepEqual(items.map((item) => item.version), [1, 2]);
        for (const item of items) {
            assert.equal(item.client_id, 'c1');
            assert.equal(item.user_id, 'ann');
            assert.match(item.timestamp, RFC3339_MS);
            assert.equal(typeof item.op_id, 'string');
            assert.equal(item.accepted_by, undefined);
        }
        assert.notEqual(items[0].op_id, items[1].op_id);
        assert.deepEqual(items[0].op, { type: 'insert', pos: 1, str: 'x', client_id: 'c1', seq: 1, version: 0 });
        assert.deepEqual(items[1].op, { type: 'delete', pos: 0, len: 2, client_id: 'c1', seq: 2, version: 1 });
    });

    test('holds the transformed op in canonical form, and an emptied one as an empty delta', async () => {
        const { id } = await server.createDoc('ann', { type: 'rich', content: { ops: [{ insert: 'abcdef' }] } });
        const send = (client, op) => ops(id, [{ client_id: client, seq: 1, version: 0, ...op }]);
        await send('a', { type: 'delete', pos: 1, len: 3 });
        await send('b', { type: 'delete', pos: 1, len: 3 });
        await send('c', { type: 'delta', ops: [{ retain: 2 }, { delete: 3 }] });
        await send('d', { type: 'delta', ops: [{ retain: 5 }, { insert: 'X', attributes: { b: 1 } }] });
        await send('e', { type: 'format', pos: 0, len: 6, attributes: { b: true, a: null } });
        await send('f', { type: 'delta', ops: [{ retain: 4 }] });
        await send('g', { type: 'delta', ops: [{ insert: { image: 'i' } }] });
        const items = await historyOf(server, 'ann', id);
        const shapes = items.map(({ op: { client_id: c, seq, version, ...op } }) => op);
        assert.deepEqual(shapes.slice(0, 4), [{ type: 'delete', pos: 1, len: 3 }, { type: 'delta', ops: [] },
            { type: 'delete', pos: 1, len: 1 }, { type: 'insert', pos: 1, str: 'X', attributes: { b: 1 } }]);
        assert.equal(shapes[4].type, 'delta', 'the inserted X keeps its own attributes');
        assert.deepEqual(shapes[5], { type: 'delta', ops: [] });
        assert.deepEqual(shapes[6], { type: 'delta', ops: [{ insert: { image: 'i' } }] });
        const doc = await server.getDoc('ann', id);
        assert.equal(normal(replay({ ops: [{ insert: 'abcdef' }] }, items)), normal(contentDelta(doc.content)));
    });

    test('pages with limit and cursor, while others write', async () => {
        const id = await written(130);
        const items = await historyOf(server, 'ann', id, { limit: 17 });
        assert.deepEqual(items.map((item) => item.version), Array.from({ length: 130 }, (_, i) => i + 1));
        const first = await server.ask('GET', `/docs/${id}/history`, { as: 'ann' });
        assert.equal(first.items.length, 50, '50 by default');
        await ops(id, [insert(0, 'new', { client_id: 'c2', seq: 1, version: 130 })]);
        const next = await server.ask('GET', `/docs/${id}/history?cursor=${first.cursor}`, { as: 'ann' });
        assert.equal(next.items[0].version, 51);
        const whole = await historyOf(server, 'ann', id);
        assert.equal(contentOf(replay('start', whole), 'text'), (await server.getDoc('ann', id)).content);
    });

    test('from and to are versions, both included, and work with cursors', async () => {
        const id = await written(60);
        const versions = async (query) => (await historyOf(server, 'ann', id, { limit: 4, query })).map((item) => item.version);
        assert.deepEqual(await versions('&from=7&to=19'), Array.from({ length: 13 }, (_, i) => i + 7));
        assert.deepEqual(await versions('&from=58'), [58, 59, 60]);
        assert.deepEqual(await versions('&to=2'), [1, 2]);
        assert.deepEqual(await versions('&from=5&to=5'), [5]);
        assert.deepEqual(await versions('&from=61'), []);
        assert.deepEqual(await versions('&from=0&to=1'), [1]);
    });

    test('refuses what is no version, limit or cursor', async () => {
        const id = await written(1);
        for (const query of ['from=x', 'to=-1', 'limit=0', 'limit=501', 'cursor=!!', 'from=1.5', 'limit=']) {
            assertProblem(await server.call('GET', `/docs/${id}/history?${query}`, { as: 'ann' }), 400);
        }
    });

    test('is there after a restart, the same to the byte', async () => {
        const id = await written(120);
        const was = await historyOf(server, 'ann', id);
        const doc = await server.getDoc('ann', id);
        await server.stop();
        await server.restart();
        assert.deepEqual(await historyOf(server, 'ann', id), was);
        assert.deepEqual(await server.getDoc('ann', id), doc);
        const again = await ops(id, [insert(0, String.fromCharCode(97 + 119 % 26), { client_id: 'c1', seq: 120, version: 100 })]);
        assert.deepEqual(again.json, { acks: [{ seq: 120, new_version: 120 }] }, 'exactly once holds across restarts');
    });
});

describe('transformation on the server', () => {
    test('equals quill-delta\u2019s accepted.transform(incoming, true) in the protocol\u2019s own words', async () => {
        const { id } = await server.createDoc('ann', { type: 'rich', content: { ops: [{ insert: '0123456789' }] } });
        const accepted = new Delta().retain(5).insert('left').delete(1).retain(2, { bold: true });
        const incoming = new Delta().retain(5).insert('right').delete(2).retain(2, { bold: null, color: 'red' });
        await ops(id, [{ type: 'delta', ops: accepted.ops, client_id: 'a', seq: 1, version: 0 }]);
        await ops(id, [{ type: 'delta', ops: incoming.ops, client_id: 'b', seq: 1, version: 0 }]);
        const items = await historyOf(server, 'ann', id);
        assert.equal(normal(deltaOf(items[1].op)), normal(accepted.transform(incoming, true)));
        const doc = await until('both are in', () => server.getDoc('ann', id));
        assert.match(contentOf(contentDelta(doc.content), 'text'), /^01234leftright/, 'the earlier insert stays left');
    });
});
