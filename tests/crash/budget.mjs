/*
 * budget.mjs - what the program may use: no CPU while nothing happens, and no more memory than it was told.
 *
 * Idle: 100 open documents, each with a connection; the process's own CPU time is counted, not a latency.
 * Memory: with --memory, anonymous memory stays under that figure while load asks for many times as much
 * (documents that do not fit at once, content, history, slow readers). Prints "N passed, M failed".
 */
import { readFileSync } from 'node:fs';
import { Server, sleep } from '../blackbox/harness.mjs';
import { RawWebSocket } from '../blackbox/raw.mjs';

const IDLE_MS = Number(process.env.IDLE_MS || 5000);
const MEMORY_MIB = 256;
const TICKS_PER_S = 100; // USER_HZ, on every Linux

const results = [];
function result(name, isGood, figures) {
    results.push(isGood);
    console.log(`${isGood ? 'ok' : 'failed'}: ${name}: ${figures}`);
}

function cpuTicks(pid) {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
    return Number(fields[11]) + Number(fields[12]); // utime, stime
}

/** Memory of its own: rings and pools are shared anonymous pages, which count with the rest. */
function ownMib(pid) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kib = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] || 0);
    return (kib('RssAnon') + kib('RssShmem')) / 1024;
}

async function idle() {
    const server = await Server.start();
    const docs = await Promise.all(Array.from({ length: 100 }, (_, i) => server.createDoc('ann', { content: `text ${i}\n`.repeat(100) })));
    const sockets = await Promise.all(docs.map(({ id }) => server.join(id, { as: 'ann' })));
    await Promise.all(sockets.map((socket) => socket.op({ type: 'insert', pos: 0, str: 'x', seq: 1, version: 0 })));
    await sleep(1500); // what the work leaves behind (archive, presence) comes to rest
    const before = cpuTicks(server.pid);
    await sleep(IDLE_MS);
    const ticks = cpuTicks(server.pid) - before;
    const most = (IDLE_MS / 1000) * TICKS_PER_S * 0.01;
    result('an idle server with 100 open documents uses under 1 % of a core', ticks < most, `${ticks} ticks of 10 ms in ${IDLE_MS} ms, under ${most} allowed`);
    await server.end();
}

/** More than the budget could hold at once, written and read by many. */
async function memory() {
    const server = await Server.start({ args: ['--memory', `${MEMORY_MIB}M`] });
    const content = 'All work and no play makes a long text. '.repeat(2500); // 100 KB
    let most = ownMib(server.pid);
    const watch = setInterval(() => { most = Math.max(most, ownMib(server.pid)); }, 20);
    const ids = [];
    const refused = { create: 0, edit: 0 };
    for (let at = 0; at < 1500; at += 50) {
        const made = await Promise.all(Array.from({ length: 50 }, () => server.call('POST', '/docs', { as: 'ann', body: { content } })));
        for (const answer of made) {
            if (answer.status === 201) ids.push(answer.json.id);
            else if (answer.status === 503 || answer.status === 429) refused.create++;
            else throw new Error(`POST /docs: ${answer.status} ${answer.text}`);
        }
    }
    const slow = await Promise.all(ids.slice(0, 40).map(async (id) => {
        const raw = await RawWebSocket.join(server, `/ws/docs/${id}`, { token: server.token('ann') });
        raw.socket.pause();
        return raw;
    }));
    for (let round = 0; round < 4; round++) {
        for (let at = 0; at < ids.length; at += 50) {
            await Promise.all(ids.slice(at, at + 50).map(async (id) => {
                const op = { type: 'insert', pos: 0, str: 'x'.repeat(20000), version: round };
                const answer = await server.call('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops: [op] } });
                if (![200, 409, 503, 429].includes(answer.status)) throw new Error(`POST ops: ${answer.status} ${answer.text}`);
                if (answer.status === 503) refused.edit++;
            }));
        }
    }
    clearInterval(watch);
    for (const raw of slow) raw.destroy();
    result(`memory stays under --memory ${MEMORY_MIB}M`, most <= MEMORY_MIB, `${most.toFixed(0)} MiB at most, ${ids.length} documents of 180 KB, told to come back: ${JSON.stringify(refused)}`);
    const alive = await server.call('GET', `/docs/${ids[0]}`, { as: 'ann' });
    result('it serves on after that', alive.status === 200, `${alive.status}`);
    await server.end();
}

for (const part of [idle, memory]) {
    await part().catch((error) => {
        console.log(error.stack);
        results.push(false);
    });
}
const failed = results.filter((isGood) => !isGood).length;
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
