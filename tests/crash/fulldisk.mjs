/*
 * fulldisk.mjs - the disk runs full while people write: what is not stored is not acknowledged, reading goes
 * on, and so does writing once there is room again. Nothing that was acknowledged is lost.
 *
 * A small ext4 file system in a file, mounted: needs root, else it is skipped. Prints the counts.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Server, sleep, tempDir, until } from '../blackbox/harness.mjs';
import { contentOf, historyOf, replay } from '../blackbox/oracle.mjs';

const DISK_MIB = 160;
const home = tempDir();
const mount = path.join(home, 'disk');
const image = path.join(home, 'image');

function skip(why) {
    console.log(`skipped: a full disk: ${why}`);
    console.log('0 passed, 0 failed, 1 skipped');
    process.exit(0);
}

try {
    mkdirSync(mount);
    writeFileSync(image, '');
    truncateSync(image, DISK_MIB << 20);
    execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', image], { stdio: 'pipe', env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
    execFileSync('mount', ['-o', 'loop', image, mount], { stdio: 'pipe' });
} catch (error) {
    skip(`no file system of its own can be mounted here (${String(error.stderr || error.message).trim().split('\n')[0]})`);
}
// Before the harness removes its directories: a mounted one can't be.
process.prependListener('exit', () => execFileSync('umount', ['-l', mount]));

const freeBytes = () => { const fs = statfsSync(mount); return fs.bavail * fs.bsize; };
const filler = path.join(mount, 'filler');
const piece = 'All that is written has to be somewhere. '.repeat(500); // 20 KB

async function main() {
    const server = await Server.start({ dir: path.join(mount, 'data'), args: ['--shards', '1', '--log-segment-bytes', '8M', '--log-segments', '8'] });
    const { id } = await server.createDoc('ann', { content: '' });
    const quiet = await server.createDoc('ann', { content: 'read me' });
    const socket = await server.join(id, { as: 'ann', clientId: 'w' });
    writeFileSync(filler, Buffer.alloc(freeBytes() - (2 << 20), 1));

    let seq = 0;
    let refusal = null;
    const next = () => (seq % 2 === 0 ? { type: 'insert', pos: 0, str: piece } : { type: 'delete', pos: 0, len: piece.length });
    const write = async () => socket.op({ ...next(), seq: seq + 1, version: seq });
    for (let i = 0; i < 8000 && !refusal; i++) {
        const answer = await write();
        if (answer.type === 'ack') seq = answer.new_version;
        else refusal = answer;
    }
    assert.ok(refusal, `the disk never ran full: ${seq} edits, ${freeBytes()} bytes free`);
    assert.deepEqual([refusal.code, refusal.retry], ['unavailable', true], JSON.stringify(refusal));
    console.log(`${seq} edits until it was full`);

    assert.equal((await server.getDoc('ann', quiet.id)).content, 'read me', 'reading goes on');
    assert.equal((await server.getDoc('ann', id)).version, seq, 'the version did not move');
    const created = await server.call('POST', '/docs', { as: 'ann', body: { content: 'x' } });
    assert.ok(created.status === 503 || created.status === 201, `${created.status} ${created.text}`);

    rmSync(filler);
    await until('writing goes on by itself', async () => {
        await sleep(200);
        const answer = await write();
        if (answer.type !== 'ack') {
            assert.equal(answer.code, 'unavailable', JSON.stringify(answer));
            return false;
        }
        seq = answer.new_version;
        return true;
    }, 30000);
    for (let i = 0; i < 20; i++) seq = (await write()).new_version;

    for (const how of ['kill', 'stop']) {
        await server[how]();
        await server.restart();
        const doc = await server.getDoc('ann', id);
        assert.equal(doc.version, seq);
        assert.equal(contentOf(replay('', await historyOf(server, 'ann', id)), 'text'), doc.content);
    }
    await server.stop();
}

let failed = 0;
await main().catch((error) => {
    failed = 1;
    console.log(`failed: ${error.stack}`);
});
console.log(`${1 - failed} passed, ${failed} failed, 0 skipped`);
process.exit(failed);
