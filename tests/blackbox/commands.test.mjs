/* Design section 13: penstock doc and penstock log, as an operator uses them. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Server, run, tempDir } from './harness.mjs';

let server;
before(async () => { server = await Server.start(); });
after(() => server.end());

const env = (as) => ({ PENSTOCK_URL: server.base, PENSTOCK_TOKEN: server.token(as) });
const doc = (as, args, more) => run(['doc', ...args], { env: env(as), ...more });
async function good(as, args, more) {
    const end = await doc(as, args, more);
    assert.equal(end.code, 0, `${args.join(' ')}: ${end.stderr}`);
    return end.stdout;
}
const json = async (as, args, more) => JSON.parse(await good(as, [...args, '--json'], more));

describe('penstock doc', () => {
    test('creates, lists, shows, edits, renames: what it says is what the server has', async () => {
        const { id } = await json('ann', ['create', '--title', 'From the shell \u{1f41a}', '--content', 'one two\n']);
        assert.match(await good('ann', ['list']), new RegExp(id));
        await good('ann', ['edit', id, '--pos', '3', '--insert', ' \u{1f600}']);
        await good('ann', ['edit', id, '--pos', '0', '--delete', '1']);
        await good('ann', ['edit', id, '--delta', '[{"retain":2},{"insert":"!"}]']);
        await good('ann', ['rename', id, 'Another title']);
        const now = await server.getDoc('ann', id);
        assert.equal(now.content, 'ne! \u{1f600} two\n');
        assert.equal(now.title, 'Another title');
        assert.equal(await good('ann', ['show', id, '--content']), now.content);
        assert.equal(await good('ann', ['show', id, '--content', '--version', '1']), 'one \u{1f600} two\n');
        assert.deepEqual(await json('ann', ['show', id]), now);
    });

    test('takes whole content, from standard input too, as one small edit', async () => {
        const { id } = await json('ann', ['create', '--file', '-'], { input: 'a text from a pipe\n' });
        await good('ann', ['edit', id, '--file', '-'], { input: 'a short text from a pipe\n' });
        assert.equal((await server.getDoc('ann', id)).content, 'a short text from a pipe\n');
        const { items } = await server.ask('GET', `/docs/${id}/history`, { as: 'ann' });
        assert.equal(items.length, 1);
        assert.equal(items[0].op.type, 'insert');
        assert.equal(items[0].op.str.length, 6);
    });

    test('prints history, and pages through it', async () => {
        const { id } = await json('ann', ['create']);
        const ops = Array.from({ length: 30 }, (_, i) => ({ type: 'insert', pos: i, str: 'x', client_id: 'c', seq: i + 1, version: 0 }));
        await server.ask('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops } });
        const first = await json('ann', ['history', id, '--limit', '20']);
        assert.equal(first.items.length, 20);
        const rest = await json('ann', ['history', id, '--limit', '20', '--cursor', first.cursor]);
        assert.deepEqual(rest.items.map((item) => item.version), Array.from({ length: 10 }, (_, i) => i + 21));
        assert.match(await good('ann', ['history', id, '--from', '3', '--to', '4']), /3[^]*4/);
    });

    test('shares, withdraws, deletes and restores', async () => {
        const { id } = await json('ann', ['create', '--content', 'x']);
        assert.equal((await doc('bob', ['show', id])).code, 1);
        await good('ann', ['share', id, 'bob', 'viewer']);
        assert.equal(await good('bob', ['show', id, '--content']), 'x');
        await good('ann', ['share', id, 'bob', 'none']);
        assert.equal((await doc('bob', ['show', id])).code, 1);
        await good('ann', ['delete', id]);
        assert.equal((await doc('ann', ['show', id])).code, 1);
        await good('ann', ['restore', id]);
        assert.equal(await good('ann', ['show', id, '--content']), 'x');
    });

    test('says what was refused in one line, with 1; and what makes no sense, with 2', async () => {
        const refused = await doc('ann', ['show', 'nothing-there']);
        assert.equal(refused.code, 1);
        assert.equal(refused.stderr.trim().split('\n').length, 1);
        assert.match(refused.stderr, /not_found/);
        for (const args of [[], ['fly'], ['show'], ['edit', 'x', '--wings', '2']]) {
            assert.equal((await doc('ann', args)).code, 2, args.join(' '));
        }
        const nobody = await run(['doc', 'list'], { env: { PENSTOCK_URL: server.base, PENSTOCK_TOKEN: 'x' } });
        assert.equal(nobody.code, 1);
        assert.match(nobody.stderr, /unauthorized/);
        assert.equal((await run(['doc', 'list'], { env: { PENSTOCK_URL: 'http://127.0.0.1:1', PENSTOCK_TOKEN: 'x' } })).code, 1);
    });
});

describe('penstock log', () => {
    test('prints what a stopped server\u2019s log holds, and changes nothing', async () => {
        const own = await Server.start();
        const { id } = await own.createDoc('ann', { title: 'Logged', content: 'abc' });
        await own.ask('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops: [{ type: 'insert', pos: 0, str: 'SECRET', client_id: 'c1', seq: 1, version: 0 }] } });
        await own.kill();
        const first = await run(['log', '--data', own.dir]);
        assert.equal(first.code, 0, first.stderr);
        assert.match(first.stdout, new RegExp(id));
        assert.doesNotMatch(first.stdout, /SECRET/, 'content is printed only where asked for');
        assert.match((await run(['log', '--data', own.dir, '--content'])).stdout, /SECRET/);
        assert.equal((await run(['log', '--data', own.dir])).stdout, first.stdout);
        await own.restart();
        assert.equal((await own.getDoc('ann', id)).content, 'SECRETabc');
        const busy = await run(['log', '--data', own.dir]);
        assert.equal(busy.code, 1, 'a running server\u2019s directory is locked');
        await own.end();
    });

    test('a directory that is none: 1, in one line', async () => {
        const end = await run(['log', '--data', path.join(tempDir(), 'nothing')]);
        assert.equal(end.code, 1);
        assert.equal(end.stderr.trim().split('\n').length, 1);
    });
});
