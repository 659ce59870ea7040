/*
 * Design section 13: `penstock replay`. Traces are made here, with quill-delta deciding what their end is: one person
 * with several patches an edit, two people who see each other's edits late, characters beyond the BMP.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { BIN, PATIENCE, Server, run, sleep, tempDir } from './harness.mjs';
import { Delta, Random, contentDelta, contentOf, historyOf, replay } from './oracle.mjs';

let server;
let dir;
before(async () => { server = await Server.start(); dir = tempDir(); });
after(() => server.end());

const TEXTS = ['a', 'b', 'word ', '\n', 'é', '\u{1f600}', '\u{1f469}\u200d\u{1f680}', '汉字', '"\\'];
const textOf = (delta) => delta.ops.map((op) => op.insert).join('');
const units = (points, n) => points.slice(0, n).join('').length;

/** A random patch in code points, and the same as a delta. */
function randomPatch(random, text) {
    const points = [...text];
    const pos = random.below(points.length + 1);
    const gone = random.chance(0.3) ? Math.min(points.length - pos, 1 + random.below(4)) : 0;
    const insert = gone && random.chance(0.5) ? '' : random.pick(TEXTS);
    const from = units(points, pos);
    const delta = new Delta().retain(from).insert(insert).delete(units(points, pos + gone) - from);
    return { patch: [pos, gone, insert], delta };
}

function save(name, trace) {
    const file = path.join(dir, `${name}.json.gz`);
    writeFileSync(file, gzipSync(JSON.stringify(trace)));
    return file;
}

function sequentialTrace(seed, n, startContent = '') {
    const random = new Random(seed);
    const txns = [];
    let doc = new Delta().insert(startContent);
    for (let i = 0; i < n; i++) {
        const patches = [];
        for (let k = random.chance(0.1) ? 1 + random.below(5) : 1; k > 0; k--) {
            const { patch, delta } = randomPatch(random, textOf(doc));
            patches.push(patch);
            doc = doc.compose(delta);
        }
        txns.push({ time: '2026-01-02T03:04:05.000Z', patches });
    }
    return { startContent, endContent: textOf(doc), txns };
}

/**
 * Two people in rounds that begin in agreement: agent 0 makes some edits; agent 1 makes some without those, then sees
 * some of them, and makes more. Agent 0's of a round stand first in the order. quill-delta carries them past each other.
 */
function concurrentTrace(seed, rounds) {
    const random = new Random(seed);
    const txns = [];
    let agreed = new Delta();
    let heads = [];
    const add = (agent, parents, patch) => txns.push({ parents, numChildren: 1, agent, time: '', patches: [patch] }) - 1;
    for (let r = 0; r < rounds; r++) {
        const mine = [];
        let view = agreed;
        let last = heads;
        for (let i = random.below(6); i > 0; i--) {
            const { patch, delta } = randomPatch(random, textOf(view));
            view = view.compose(delta);
            last = [add(0, last, patch)];
            mine.push({ delta, txn: last[0] });
        }
        const afterMine = view;
        const unseen = mine.map((item) => ({ ...item }));
        let seenTxn = null;
        let own = null;
        let carried = new Delta(); // agent 1's edits, past all of agent 0's of this round
        view = agreed;
        for (let i = random.below(6); i > 0; i--) {
            for (let k = random.below(unseen.length + 1); k > 0 && random.chance(0.4); k--) {
                const next = unseen.shift();
                view = view.compose(next.delta);
                seenTxn = next.txn;
            }
            const made = randomPatch(random, textOf(view));
            view = view.compose(made.delta);
            const parents = [own, seenTxn].filter((parent) => parent !== null);
            own = add(1, parents.length ? parents : heads, made.patch);
            let moving = made.delta;
            for (const item of unseen) {
                const past = item.delta.transform(moving, true);
                item.delta = moving.transform(item.delta, false);
                moving = past;
            }
            carried = carried.compose(moving);
        }
        agreed = afterMine.compose(carried);
        heads = [0, 1].map((agent) => txns.findLastIndex((txn) => txn.agent === agent)).filter((at) => at >= 0);
    }
    return { kind: 'concurrent', endContent: textOf(agreed), numAgents: 2, txns };
}

const replayRun = (file, ...args) => run(['replay', '--trace', file, ...args], {
    env: { PENSTOCK_URL: server.base, PENSTOCK_TOKEN: server.token('ann') }, ms: 60000 * PATIENCE });
const docsOf = (out) => [...out.matchAll(/^document (\S+)$/gm)].map((match) => match[1]);

async function passes(trace, file, ...args) {
    const end = await replayRun(file, ...args);
    assert.equal(end.code, 0, end.stderr + end.stdout);
    assert.match(end.stdout, new RegExp(`^${trace.txns.length} edits acknowledged in `, 'm'));
    assert.match(end.stdout, /ack latency, from sending: p50 .* p90 .* p99 .* p99\.9 .* max /);
    assert.match(end.stdout, /equals the trace's end, byte for byte/);
    return end;
}

describe('penstock replay', () => {
    test('one person, several patches an edit, beyond the BMP: the document and its history equal the end', async () => {
        const trace = sequentialTrace(1, 1500, 'begin \u{1f600}\n');
        const end = await passes(trace, save('one', trace), '--verify-history');
        assert.match(end.stdout, /its history, replayed from the start, leads to the same text/);
        const [id] = docsOf(end.stdout);
        const doc = await server.getDoc('ann', id);
        assert.equal(doc.content, trace.endContent);
        assert.equal(doc.version, trace.txns.length);
        assert.equal(contentOf(replay(contentDelta(trace.startContent), await historyOf(server, 'ann', id)), 'text'), trace.endContent);
    });

    for (const batch of ['1', '7', '64']) {
        test(`two people at once, ${batch} edits a message: as quill-delta merges them`, async () => {
            const trace = concurrentTrace(10 + Number(batch), 150);
            assert.ok(new Set(trace.txns.map((txn) => txn.agent)).size === 2);
            const end = await passes(trace, save(`two-${batch}`, trace), '--batch', batch, '--verify-history');
            const items = await historyOf(server, 'ann', docsOf(end.stdout)[0]);
            assert.deepEqual([...new Set(items.map((item) => item.client_id))].sort(), ['replay-0', 'replay-1']);
        });
    }

    test('several documents at once', async () => {
        const trace = sequentialTrace(2, 300);
        const end = await replayRun(save('many', trace), '--clients', '5');
        assert.equal(end.code, 0, end.stderr);
        assert.match(end.stdout, /^1500 edits acknowledged in .* by 5 clients in 5 documents/m);
        assert.equal(end.stdout.match(/byte for byte/g).length, 5);
    });

    test('a trace whose end is another text fails with 1 and says where', async () => {
        const trace = sequentialTrace(3, 50);
        const end = await replayRun(save('wrong', { ...trace, endContent: `${trace.endContent}!` }));
        assert.equal(end.code, 1);
        assert.match(end.stderr, /another text/);
    });

    test('what is no trace, no server and no token end with one line', async () => {
        const file = save('fine', sequentialTrace(4, 5));
        for (const [args, code, line] of [
            [['--trace', path.join(dir, 'missing')], 1, /can't open/],
            [['--trace', save('broken', { txns: [] })], 1, /no editing trace/],
            [['--trace', save('three', { kind: 'concurrent', numAgents: 3, endContent: '', txns: [] })], 1, /two|2 people/],
            [['--trace', file, '--token', 'x.y.z'], 1, /401|unauthorized/],
            [['--trace', file, '--url', 'ftp://x'], 2, /no http/],
            [[], 2, /--trace is needed/],
        ]) {
            const end = await run(['replay', ...args], { env: { PENSTOCK_URL: server.base, PENSTOCK_TOKEN: server.token('ann') } });
            assert.equal(end.code, code, `${args}: ${end.stderr}`);
            assert.match(end.stderr, line);
        }
    });

    for (const [name, trace] of [['one person', sequentialTrace(5, 4000)], ['two people', concurrentTrace(6, 500)]]) {
        test(`${name}: the server is killed in the middle and comes back`, async () => {
            const own = await Server.start();
            try {
                const file = save(`kill-${name.replace(' ', '-')}`, trace);
                const child = run(['replay', '--trace', file, '--batch', '2', '--verify-history'], {
                    env: { PENSTOCK_URL: own.base, PENSTOCK_TOKEN: own.token('ann') }, ms: 60000 * PATIENCE });
                for (let i = 0; i < 2; i++) {
                    await sleep(250);
                    await own.kill();
                    await own.restart({ samePort: true });
                }
                const end = await child;
                assert.equal(end.code, 0, end.stderr + end.stdout);
                assert.match(end.stdout, /byte for byte/);
                assert.match(end.stdout, /leads to the same text/);
            } finally {
                await own.end();
            }
        });

        test(`${name}: the replay is killed and resumed`, async () => {
            const file = save(`resume-${name.replace(' ', '-')}`, trace);
            const env = { ...process.env, PENSTOCK_URL: server.base, PENSTOCK_TOKEN: server.token('ann') };
            const child = spawn(BIN, ['replay', '--trace', file, '--batch', '1'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
            let out = '';
            child.stdout.setEncoding('utf8').on('data', (text) => { out += text; });
            const ended = new Promise((resolve) => { child.on('close', resolve); });
            await sleep(300);
            child.kill('SIGKILL');
            await ended;
            const [id] = docsOf(out);
            assert.ok(id, out);
            const end = await passes(trace, file, '--resume', id, '--verify-history');
            assert.deepEqual(docsOf(end.stdout), [id]);
        });
    }
});
