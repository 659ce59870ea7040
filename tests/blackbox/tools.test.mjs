/* `penstock doc` and `penstock log` in detail: what is printed, TLS, exit codes, several shards. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Server, run, tempDir } from './harness.mjs';
import { execFileSync } from 'node:child_process';

let server;
before(async () => { server = await Server.start(); });
after(() => server.end());

const envOf = (as, of = server) => ({ PENSTOCK_URL: of.base, PENSTOCK_TOKEN: of.token(as) });
/** `penstock doc ...` as somebody: what it ended with. */
const doc = (as, ...args) => run(['doc', ...args], { env: envOf(as) });
/** The same with --json, which must succeed. */
async function ask(as, ...args) {
    const end = await doc(as, ...args, '--json');
    assert.equal(end.code, 0, end.stderr);
    return JSON.parse(end.stdout);
}

describe('penstock doc', () => {
    test('create, show, edit, history: the content is what was asked for, also beyond ASCII', async () => {
        const { id } = await ask('ann', 'create', '--title', 'Käse "1"', '--content', 'a\u{1f600}b\n');
        const shown = await ask('ann', 'show', id);
        assert.equal(shown.title, 'Käse "1"');
        assert.equal(shown.content, 'a\u{1f600}b\n');
        assert.equal((await doc('ann', 'show', id, '--content')).stdout, 'a\u{1f600}b\n');
        assert.equal((await doc('ann', 'edit', id, '--insert', 'X', '--pos', '3')).code, 0);
        assert.equal((await doc('ann', 'edit', id, '--delete', '1', '--pos', '0')).code, 0);
        assert.equal((await doc('ann', 'edit', id, '--delta', '[{"retain":2},{"insert":"Y"}]')).code, 0);
        assert.equal((await ask('ann', 'show', id)).content, '\u{1f600}YXb\n');
        assert.equal((await ask('ann', 'show', id, '--version', '1')).content, 'a\u{1f600}Xb\n');
        const { items } = await ask('ann', 'history', id);
        assert.deepEqual(items.map((item) => item.version), [1, 2, 3]);
        const table = (await doc('ann', 'history', id, '--from', '2', '--to', '2')).stdout.trim().split('\n');
        assert.equal(table.length, 2);
        assert.match(table[1], /^2 .*ann.*delete 0 1$/);
    });

    test('edit --content and --file become the smallest change, and keep what others write', async () => {
        const { id } = await ask('ann', 'create', '--content', 'one \u{1f600} three');
        await ask('ann', 'edit', id, '--content', 'one \u{1f601} three');
        const [item] = (await ask('ann', 'history', id)).items;
        const changed = JSON.stringify(item.op);
        assert.match(changed, /\u{1f601}/u);
        assert.doesNotMatch(changed, /three|one/);
        const file = path.join(tempDir(), 'text');
        writeFileSync(file, 'zero one \u{1f601} three\n');
        await ask('ann', 'edit', id, '--file', file);
        assert.equal((await ask('ann', 'show', id)).content, 'zero one \u{1f601} three\n');
        const piped = await run(['doc', 'edit', id, '--file', '-'], { env: envOf('ann'), input: 'from a pipe' });
        assert.equal(piped.code, 0, piped.stderr);
        assert.equal((await ask('ann', 'show', id)).content, 'from a pipe');
    });

    test('empty content makes an empty document, and empties one', async () => {
        const { id, content } = await ask('ann', 'create', '--content', '');
        assert.equal(content, '');
        await ask('ann', 'edit', id, '--content', 'something');
        await ask('ann', 'edit', id, '--content', '');
        assert.equal((await ask('ann', 'show', id)).content, '');
        assert.deepEqual((await ask('ann', 'create', '--type', 'rich', '--content', '')).content, { ops: [] });
    });

    test('rich documents: plain content, JSON content, attributes', async () => {
        const { id } = await ask('ann', 'create', '--type', 'rich', '--content', 'plain');
        await ask('ann', 'edit', id, '--insert', 'bold ', '--attributes', '{"bold":true}');
        assert.deepEqual((await ask('ann', 'show', id)).content,
            { ops: [{ insert: 'bold ', attributes: { bold: true } }, { insert: 'plain' }] });
        const other = await ask('ann', 'create', '--type', 'rich', '--content', '{"ops":[{"insert":"x","attributes":{"i":1}}]}');
        assert.deepEqual(other.content, { ops: [{ insert: 'x', attributes: { i: 1 } }] });
    });

    test('list shows a line a document; share, rename, delete and restore do what they say', async () => {
        const { id } = await ask('cid', 'create', '--id', 'minutes-1', '--title', 'bell \u0007 and\nline');
        assert.equal(id, 'minutes-1');
        const list = (await doc('cid', 'list')).stdout;
        assert.equal(list.trim().split('\n').length, 2);
        assert.match(list, /minutes-1 .*text .*owner .*bell \? and\?line/);
        assert.equal((await doc('dan', 'show', id)).code, 1);
        assert.equal((await doc('cid', 'share', id, 'dan', 'viewer')).code, 0);
        assert.equal((await ask('dan', 'show', id)).role, 'viewer');
        assert.match((await doc('cid', 'show', id)).stdout, /dan +viewer/);
        assert.equal((await doc('dan', 'edit', id, '--insert', 'x')).code, 1);
        assert.equal((await doc('cid', 'share', id, 'dan', 'none')).code, 0);
        assert.equal((await doc('dan', 'show', id)).code, 1);
        assert.equal((await doc('cid', 'rename', id, 'Minutes')).code, 0);
        assert.equal((await ask('cid', 'show', id)).title, 'Minutes');
        assert.equal((await doc('cid', 'delete', id)).code, 0);
        const gone = await doc('cid', 'show', id);
        assert.equal(gone.code, 1);
        assert.match(gone.stderr, /^penstock: error: 410 /);
        assert.equal((await doc('cid', 'restore', id)).code, 0);
        assert.equal((await ask('cid', 'show', id)).title, 'Minutes');
    });

    test('pages: --limit and --cursor', async () => {
        for (let i = 0; i < 5; i++) await server.createDoc('eve', { title: `t${i}` });
        const first = await ask('eve', 'list', '--limit', '3');
        assert.equal(first.items.length, 3);
        const hinted = await doc('eve', 'list', '--limit', '3');
        assert.match(hinted.stderr, /--cursor /);
        const rest = await ask('eve', 'list', '--limit', '3', '--cursor', first.cursor);
        assert.equal(rest.items.length, 2);
        assert.equal(rest.cursor, null);
    });

    test('what goes wrong is one line and an exit code', async () => {
        const oneLine = (end, code, what) => {
            assert.equal(end.code, code, `${end.stdout}${end.stderr}`);
            assert.equal(end.stderr.trim().split('\n').length, 1, end.stderr);
            assert.match(end.stderr, what);
        };
        oneLine(await doc('ann', 'show', 'no-such-document'), 1, /404 not_found/);
        oneLine(await run(['doc', 'list'], { env: { PENSTOCK_URL: server.base, PENSTOCK_TOKEN: 'no.token.x' } }), 1, /401/);
        oneLine(await run(['doc', 'list', '--url', 'http://127.0.0.1:1'], { env: envOf('ann') }), 1, /connect/);
        oneLine(await run(['doc', 'list', '--url', 'gopher://x'], { env: envOf('ann') }), 2, /gopher/);
        oneLine(await doc('ann', 'fly'), 2, /fly/);
        oneLine(await doc('ann', 'show'), 2, /usage/);
        oneLine(await doc('ann', 'show', 'a', 'b'), 2, /"b"/);
        oneLine(await doc('ann', 'edit', 'x'), 2, /--insert/);
        oneLine(await doc('ann', 'edit', 'x', '--insert', 'a', '--delta', '[]'), 2, /--insert/);
        oneLine(await doc('ann', 'list', '--limit', '501'), 2, /500/);
    });

    test('--url and --token are stronger than the environment', async () => {
        const end = await run(['doc', 'list', '--url', `${server.base}/`, '--token', server.token('ann')],
            { env: { PENSTOCK_URL: 'http://127.0.0.1:1', PENSTOCK_TOKEN: 'x' } });
        assert.equal(end.code, 0, end.stderr);
    });

    test('over TLS the certificate must be one that --ca names, for that address', async () => {
        const home = tempDir();
        const [cert, key] = [path.join(home, 'c.pem'), path.join(home, 'k.pem')];
        execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
            '-subj', '/CN=penstock-test', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' });
        const secure = await Server.start({ tls: { cert, key } });
        try {
            assert.equal(secure.scheme, 'https');
            const env = envOf('ann', secure);
            assert.equal((await run(['doc', 'create', '--content', 'x', '--ca', cert], { env })).code, 0);
            const refused = await run(['doc', 'list'], { env });
            assert.equal(refused.code, 1);
            assert.match(refused.stderr, /TLS/);
            const elsewhere = { ...env, PENSTOCK_URL: secure.base.replace('127.0.0.1', '127.0.0.2') };
            assert.equal((await run(['doc', 'list', '--ca', cert], { env: elsewhere })).code, 1);
        } finally {
            await secure.end();
        }
    });
});

describe('penstock log', () => {
    test('prints what happened, oldest first, of a stopped server alone', async () => {
        const own = await Server.start({ args: ['--shards', '2'] });
        try {
            const { id } = await own.createDoc('ann', { title: 'T "q"', content: 'abc' });
            await own.ask('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops: [{ type: 'insert', pos: 3, str: 'd', client_id: 'c1', seq: 1, version: 0 }] } });
            await own.share('ann', id, 'bob', 'viewer');
            await own.call('PATCH', `/docs/${id}`, { as: 'ann', body: { title: 'U' } });
            await own.call('DELETE', `/docs/${id}`, { as: 'ann' });
            const busy = await run(['log', '--data', own.dir]);
            assert.equal(busy.code, 1);
            assert.match(busy.stderr, /another process/);
            await own.stop();
            const end = await run(['log', '--data', own.dir, '--content']);
            assert.equal(end.code, 0, end.stderr);
            const lines = end.stdout.trim().split('\n');
            const kinds = lines.filter((line) => line.includes('doc=')).map((line) => line.split(' ')[3]);
            for (const kind of ['create', 'ops', 'role', 'title', 'delete']) assert.ok(kinds.includes(kind), `${kind} in ${end.stdout}`);
            assert.ok(kinds.indexOf('create') < kinds.indexOf('ops') && kinds.indexOf('ops') < kinds.indexOf('delete'), end.stdout);
            assert.match(end.stdout, new RegExp(`create doc=1 .* id="${id.replace(/[.~-]/g, '\\$&')}"`));
            assert.match(end.stdout, /title="T \\x22q\\x22"/);
            assert.match(end.stdout, /versions=1-1 user="ann" client="c1".*"insert".*"d"/);
            const indexes = (shard) => lines.filter((line) => line.startsWith(shard)).map((line) => Number(line.split(' ')[1]));
            for (const shard of ['000', '001']) {
                const list = indexes(shard);
                list.forEach((idx, i) => assert.equal(idx, list[0] + i));
            }
            const one = await run(['log', '--data', own.dir, '--shard', '1', '--limit', '1']);
            assert.equal(one.stdout.trim().split('\n').length, 1);
            assert.match(one.stdout, /^001 /);
            await own.restart();
        } finally {
            await own.end();
        }
    });

    test('refuses what is no data directory', async () => {
        const end = await run(['log', '--data', tempDir()]);
        assert.equal(end.code, 1);
        assert.equal((await run(['log', '--data', '/nonexistent/penstock'])).code, 1);
        assert.equal((await run(['log'])).code, 2);
    });
});
