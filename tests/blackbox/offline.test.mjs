/* Protocol section 2: no age limit on an offline client. What is far behind is carried past all that came since. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server } from './harness.mjs';
import { Random, contentDelta, deltaOf, historyOf, normal, randomDelta, replay, wireOf } from './oracle.mjs';

const SEED = Number(process.env.SEED || Date.now() % 1e9);
const N_SINCE = 1500;
const N_BATCH = 100;
const START = { ops: [{ insert: 'The text that everybody knew \u{1f600} when one of them went offline.\n' }] };

let server;
before(async () => { server = await Server.start(); });
after(() => server.end());

/** A document that went far on; gives the ops since its start. */
async function busyDoc(random) {
    const { id } = await server.createDoc('ann', { type: 'rich', content: START });
    let content = contentDelta(START);
    const since = [];
    while (since.length < N_SINCE) {
        const version = since.length;
        const ops = Array.from({ length: 250 }, (_, i) => {
            const delta = randomDelta(random, content, true);
            content = content.compose(delta);
            since.push(delta);
            return { ...wireOf(delta), client_id: 'busy', seq: version + i + 1, version };
        });
        await server.ask('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops } });
    }
    return { id, since };
}

/** What one made offline, each op on top of those before it. */
function offlineBatch(random) {
    let content = contentDelta(START);
    return Array.from({ length: N_BATCH }, () => {
        const delta = randomDelta(random, content, true);
        content = content.compose(delta);
        return delta;
    });
}

function carried(since, batch) {
    let list = batch;
    for (let theirs of since) {
        list = list.map((mine) => {
            const moved = theirs.transform(mine, true);
            theirs = mine.transform(theirs, false);
            return moved;
        });
    }
    return list;
}

async function check(id, since, batch) {
    const items = await historyOf(server, 'ann', id);
    assert.equal(items.length, N_SINCE + N_BATCH);
    carried(since, batch).forEach((delta, i) => {
        assert.equal(normal(deltaOf(items[N_SINCE + i].op)), normal(delta), `SEED=${SEED}: op ${i + 1} of the batch`);
    });
    const doc = await server.getDoc('ann', id);
    assert.equal(normal(contentDelta(doc.content)), normal(replay(START, items)));
}

describe(`a batch of ${N_BATCH} ops that is ${N_SINCE} versions behind (SEED=${SEED})`, () => {
    const random = new Random(SEED);
    const wire = (batch, clientId) => batch.map((delta, i) => ({ ...wireOf(delta), client_id: clientId, seq: i + 1, version: 0 }));

    test('is accepted over WebSocket as quill-delta carries it, after catching up', async () => {
        const { id, since } = await busyDoc(random);
        const batch = offlineBatch(random);
        const socket = await server.join(id, { as: 'ann', clientId: 'far', version: 0 });
        for (let i = 0; i < N_SINCE; i++) await socket.next('op');
        await socket.next('synced');
        socket.send({ type: 'ops', ops: wire(batch, 'far') });
        for (let i = 1; i <= N_BATCH; i++) assert.equal((await socket.next('ack')).new_version, N_SINCE + i);
        await check(id, since, batch);
        await socket.close();
    });

    test('is accepted over HTTP after a restart, when nothing of it is in memory', async () => {
        const { id, since } = await busyDoc(random);
        const batch = offlineBatch(random);
        await server.stop();
        await server.restart();
        const { acks } = await server.ask('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops: wire(batch, 'far') } });
        assert.equal(acks.length, N_BATCH);
        assert.equal(acks[0].new_version, N_SINCE + 1);
        await check(id, since, batch);
    });

    test('does not hold up another document', async () => {
        const { id } = await busyDoc(random);
        const other = await server.createDoc('ann', { content: '' });
        const socket = await server.join(other.id, { as: 'ann' });
        const answers = Array.from({ length: 6 }, (_, i) => server.call('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops: wire(offlineBatch(random), `far${i}`) } }));
        let acked = 0;
        let busy = true;
        const all = Promise.all(answers).finally(() => { busy = false; });
        while (busy) {
            assert.equal((await socket.op({ type: 'insert', pos: 0, str: 'x', seq: acked + 1, version: acked })).type, 'ack');
            acked++;
        }
        for (const answer of await all) assert.ok(answer.status === 200 || answer.status === 422, answer.text);
        assert.ok(acked >= 6, `${acked} edits elsewhere while 6 batches were carried`);
        await socket.close();
    });
});
