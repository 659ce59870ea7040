/*
 * replay.mjs - `penstock replay` drives real editing traces through real connections; here it is judged.
 *
 * For each trace: replayed over WebSocket with every edit acknowledged, while the server is killed and
 * started again in the middle; the document equals the trace's end byte for byte, and so does a replay of
 * its history. The two traces of tests/data are always there; the long ones (github.com/josephg/
 * editing-traces) are looked for in $PENSTOCK_DATA/traces, or in ../shared/data/traces beside the repository.
 *
 * TRACES=short leaves the long ones out. Prints "N passed, M failed, K skipped".
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { BIN, REPO, Server, sleep, within } from './blackbox/harness.mjs';
import { contentOf, historyOf, replay } from './blackbox/oracle.mjs';

const LONG_DIR = path.join(process.env.PENSTOCK_DATA || path.join(REPO, '../shared/data'), 'traces');
const LONG = ['automerge-paper', 'sveltecomponent', 'json-crdt-patch', 'friendsforever'];
const SHORT = ['sequential', 'concurrent'];
const RUN_MS = Number(process.env.REPLAY_MS || 600000);

const counts = { passed: 0, failed: 0, skipped: 0 };

/** Runs the replay; `meanwhile(child, output)` goes on beside it. */
async function drive(server, file, more, meanwhile) {
    const tokenFile = path.join(server.home, 'token');
    writeFileSync(tokenFile, server.token('replayer', { exp: Math.floor(Date.now() / 1000) + 7200 }), { mode: 0o600 });
    const args = ['replay', '--trace', file, '--url', server.base, '--token-file', tokenFile, ...more];
    const child = spawn(BIN, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { output += text; });
    const ended = new Promise((resolve) => { child.on('close', resolve); });
    try {
        await meanwhile(ended);
        const code = await within(RUN_MS, 'the replay to end', ended);
        if (code !== 0) throw new Error(`it ended with ${code}: ${output.slice(-1500)}`);
    } finally {
        child.kill('SIGKILL');
    }
    return output;
}

const newestDoc = async (server) => (await server.ask('GET', '/docs?limit=1', { as: 'replayer' })).items[0];

/** Kills and restarts the server once the replay is under way. */
function killAt(server, version) {
    return async (ended) => {
        let over = false;
        ended.then(() => { over = true; });
        let reached = 0;
        while (!over && reached < version) {
            await sleep(1);
            reached = (await newestDoc(server).catch(() => null))?.version || 0;
        }
        if (over) return;
        await server.kill();
        await server.restart({ samePort: true });
    };
}

async function judge(file, trace, isShort) {
    // A data directory of its own: the newest document is the replayed one. No rate limit is met by honest load.
    const server = await Server.start({ args: ['--messages-per-second', '0'] });
    try {
        const output = await drive(server, file, ['--verify-history', '--retry', '30'], killAt(server, isShort ? 1 : trace.txns.length * 0.3));
        const { id } = await newestDoc(server);
        const doc = await server.getDoc('replayer', id);
        if (doc.content !== trace.endContent) throw new Error('the document is not the trace\u2019s end');
        const items = await historyOf(server, 'replayer', id);
        items.forEach((item, i) => { if (item.version !== i + 1) throw new Error(`version ${item.version} at place ${i + 1}`); });
        // quill-delta's compose is linear in the text: for long traces the program's own check has to do.
        const start = (await server.getDoc('replayer', id, '?version=0')).content;
        const checked = items.length < 30000 && contentOf(replay(start, items), 'text') !== trace.endContent;
        if (checked) throw new Error('history does not lead to the trace\u2019s end');
        return { output, items: items.length };
    } catch (error) {
        error.message += `\n${server.log.slice(-1000)}`;
        throw error;
    } finally {
        await server.end();
    }
}

/** A short trace can be over before the kill comes: then once more. */
async function report(name, file, isShort) {
    const trace = JSON.parse(gunzipSync(readFileSync(file)));
    const started = Date.now();
    try {
        for (let attempt = 1; ; attempt++) {
            const { output, items } = await judge(file, trace, isShort);
            const wasInterrupted = /reconnect/.test(output);
            if (!wasInterrupted && attempt < 10) continue;
            if (!wasInterrupted) throw new Error('the kill never came in its middle');
            counts.passed++;
            const speed = /[0-9.]+ ops\/s/.exec(output)?.[0] ?? '';
            console.log(`ok: ${name}: ${items} edits through a kill, the end equal byte for byte; ${speed}, ${((Date.now() - started) / 1000).toFixed(1)} s`);
            return;
        }
    } catch (error) {
        counts.failed++;
        console.log(`failed: ${name}: ${error.message}`);
    }
}

for (const name of SHORT) await report(name, path.join(REPO, 'tests/data', `${name}.json.gz`), true);
for (const name of process.env.TRACES === 'short' ? [] : LONG) {
    const file = path.join(LONG_DIR, `${name}.json.gz`);
    if (existsSync(file)) {
        await report(name, file, false);
    } else {
        counts.skipped++;
        console.log(`skipped: ${name}: there is no ${path.basename(file)} in $PENSTOCK_DATA/traces`);
    }
}
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed ? 1 : 0);
