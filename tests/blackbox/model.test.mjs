/*
 * Random clients against a model that uses quill-delta 5 for transform, compose and apply.
 *
 * A round is one document and some clients that edit, go offline, come back, lose their connection before
 * or after their message arrived, and send again. It goes step by step from a seed: each step waits for
 * what the server makes of it, so a seed is a run. At the end everybody holds the same content, equal to
 * a replay of history, and each op of history is what quill-delta makes of what its client sent.
 *
 * ROUNDS and SEED choose; SEED=s ROUNDS=1 repeats the round that a failure names.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PATIENCE, Server, within } from './harness.mjs';
import { Random, contentDelta, deltaOf, historyOf, normal, randomDelta, replay, wireOf } from './oracle.mjs';

const SEED = Number(process.env.SEED || Date.now() % 1e9);
const ROUNDS = Number(process.env.ROUNDS || 300);
const LANES = 4;
const BATCH_MAX = 40;

let server;
before(async () => { server = await Server.start(); });
after(() => server.end());

const said = (what, m) => `${what}: ${JSON.stringify(m)}`;

/** Carries `theirs` past a list of ops made one after the other; gives both sides carried. */
function carry(theirs, list) {
    const carried = list.map((mine) => {
        const moved = theirs.transform(mine, true);
        theirs = mine.transform(theirs, false);
        return moved;
    });
    return { theirs, carried };
}

class Client {
    constructor(round, idx) {
        this.round = round;
        this.clientId = `c${idx}`;
        this.user = idx % 2 ? 'bob' : 'ann';
        this.version = -1;
        this.lastSeq = 0;
        this.pending = []; // deltas of the message that is not answered
        this.inFlight = false; // whether this connection has sent it
        this.buffer = [];
        this.socket = null;
        this.last = null; // the last answered message and its acks
    }

    edit(delta) {
        this.content = this.content.compose(delta);
        this.buffer.push(delta);
    }

    async join() {
        const { round } = this;
        const since = this.version >= 0 ? { version: this.version, ...(this.hashVersion === this.version && { hash: this.hash }) } : {};
        this.socket = await server.join(round.id, { as: this.user, clientId: this.clientId, ...since });
        const { welcome } = this.socket;
        assert.equal(welcome.version, round.version, 'the server is where the steps led it');
        if (this.version < 0) {
            this.content = contentDelta(welcome.content);
            this.version = welcome.version;
            [this.hash, this.hashVersion] = [welcome.history_hash, welcome.version];
            return;
        }
        assert.equal(welcome.reset, undefined, 'the history is the one that the client had');
        for (;;) {
            const message = await this.socket.next();
            if (message.type === 'synced') {
                assert.equal(message.version, this.version);
                [this.hash, this.hashVersion] = [message.history_hash, message.version];
                return;
            }
            this.take(message);
        }
    }

    /** One message of the document's order. */
    take(message) {
        if (message.type === 'ack') return this.acked(message.seq, message.new_version);
        assert.equal(message.type, 'op', said('unexpected', message));
        assert.equal(message.new_version, this.version + 1);
        if (message.op.client_id === this.clientId) {
            assert.equal(normal(deltaOf(message.op)), normal(this.pending[0]), 'our own op came back as we had carried it');
            return this.acked(message.op.seq, message.new_version);
        }
        let { theirs, carried } = carry(deltaOf(message.op), this.pending);
        this.pending = carried;
        ({ theirs, carried } = carry(theirs, this.buffer));
        this.buffer = carried;
        this.content = this.content.compose(theirs);
        this.version++;
        return undefined;
    }

    acked(seq, version) {
        assert.equal(seq, this.lastSeq + 1);
        assert.equal(version, this.version + 1);
        this.last.acks.push({ seq, version });
        this.pending.shift();
        this.lastSeq = seq;
        this.version = version;
        if (this.pending.length === 0) this.inFlight = false;
    }

    get isOnline() {
        return this.socket !== null;
    }

    get canSend() {
        return this.isOnline && !this.inFlight && (this.pending.length > 0 || this.buffer.length > 0);
    }

    /** Puts what waits into a message; one that was lost is sent again, as it is now carried. */
    message(random) {
        if (this.pending.length === 0) {
            if (random.chance(0.5)) this.buffer = [this.buffer.reduce((a, b) => a.compose(b))];
            this.pending = this.buffer.splice(0, BATCH_MAX);
        }
        const ops = this.pending.map((delta, i) => ({ ...wireOf(delta), client_id: this.clientId, seq: this.lastSeq + 1 + i, version: this.version }));
        this.last = { ops, acks: [] };
        this.round.sent.push({ clientId: this.clientId, firstSeq: this.lastSeq + 1, base: this.version, deltas: [...this.pending] });
        return ops;
    }

    write(ops) {
        this.socket.send(ops.length === 1 ? { type: 'op', op: ops[0] } : { type: 'ops', ops });
        this.inFlight = true;
    }

    async send(random) {
        const ops = this.message(random);
        this.write(ops);
        const answer = await this.socket.seen('the last ack', (m) => m.type === 'error' || (m.type === 'ack' && m.seq === ops[ops.length - 1].seq));
        assert.equal(answer.type, 'ack', said(JSON.stringify(ops), answer));
        this.round.version += ops.length;
    }

    /** Takes up to n of the messages that are surely on their way. */
    async deliver(n) {
        for (let i = 0; i < n && this.version < this.round.version; i++) this.take(await this.socket.next());
    }

    drop() {
        this.socket.ws.terminate();
        this.socket = null;
        this.inFlight = false;
    }

    /** Sends, loses the connection at once, and comes back: only the server knows whether it came through. */
    async race(random) {
        this.write(this.message(random));
        const { round } = this;
        this.drop();
        const probe = await server.join(round.id, { as: this.user, clientId: this.clientId, version: 0 });
        round.version = probe.welcome.version;
        probe.ws.terminate();
    }

    /** The last answered message again: the same acks, and nothing happens. */
    async sendAgain() {
        const { ops, acks } = this.last;
        this.write(ops);
        this.inFlight = false;
        await this.deliver(Infinity);
        for (const { seq, version } of acks) {
            const ack = await this.socket.next();
            assert.deepEqual(ack, { type: 'ack', client_id: this.clientId, seq, new_version: version });
        }
    }
}

class Round {
    constructor(seed) {
        this.random = new Random(seed);
        this.sent = [];
        this.version = 0;
    }

    async open() {
        const { random } = this;
        this.rich = random.chance(0.5);
        let start = contentDelta('');
        for (let i = random.below(4); i > 0; i--) start = start.compose(randomDelta(random, start, this.rich));
        this.start = this.rich ? { ops: start.ops } : start.ops.map((part) => part.insert).join('');
        const doc = await server.createDoc('ann', { type: this.rich ? 'rich' : 'text', content: this.start });
        this.id = doc.id;
        await server.share('ann', doc.id, 'bob', 'editor');
        this.clients = Array.from({ length: 2 + random.below(3) }, (_, idx) => new Client(this, idx));
        for (const client of this.clients) await client.join();
    }

    async step() {
        const { random } = this;
        const client = random.pick(this.clients);
        const what = random.real();
        if (what < 0.4) {
            const edits = !client.isOnline && random.chance(0.3) ? 1 + random.below(15) : 1;
            for (let i = 0; i < edits; i++) client.edit(randomDelta(random, client.content, this.rich));
        } else if (what < 0.62) {
            if (client.canSend) await client.send(random);
        } else if (what < 0.82) {
            if (client.isOnline) await client.deliver(1 + random.below(4));
        } else if (what < 0.88) {
            if (client.isOnline) client.drop();
        } else if (what < 0.91) {
            if (client.canSend) await client.race(random);
        } else if (what < 0.94) {
            if (client.isOnline && client.pending.length === 0 && client.last && client.last.acks.length === client.last.ops.length) await client.sendAgain();
        } else if (!client.isOnline) {
            await client.join();
        }
    }

    async settle() {
        for (const client of this.clients) {
            if (!client.isOnline) await client.join();
            await client.deliver(Infinity);
            while (client.canSend) {
                await client.send(this.random);
                await client.deliver(Infinity);
            }
        }
        for (const client of this.clients) await client.deliver(Infinity);
    }

    /** What quill-delta makes of each message that a client sent, against what history says. */
    checkHistory(items) {
        const accepted = items.map((item) => deltaOf(item.op));
        for (let at = 0; at < items.length;) {
            const { client_id: clientId, seq } = items[at].op;
            const messages = this.sent.filter((m) => m.clientId === clientId && m.firstSeq === seq && m.base <= at);
            assert.ok(messages.length > 0, `nobody sent ${clientId} ${seq}`);
            // A message that may have been lost was sent again, carried further: one of them is what came.
            const fits = messages.find(({ base, deltas }) => {
                let list = deltas;
                for (const theirs of accepted.slice(base, at)) list = carry(theirs, list).carried;
                return list.every((delta, i) => accepted[at + i] && normal(delta) === normal(accepted[at + i]));
            });
            assert.ok(fits, `version ${at + 1} is not what quill-delta says: ${JSON.stringify(items[at])}`);
            at += fits.deltas.length;
        }
    }

    async check() {
        const doc = await server.getDoc('ann', this.id);
        const items = await historyOf(server, 'ann', this.id);
        assert.equal(doc.version, this.version);
        assert.deepEqual(items.map((item) => item.version), items.map((_, i) => i + 1));
        assert.equal(normal(replay(this.start, items)), normal(contentDelta(doc.content)), 'history leads to the content');
        for (const client of this.clients) {
            assert.equal(client.version, doc.version);
            assert.equal(normal(client.content), normal(contentDelta(doc.content)), `${client.clientId} holds the same`);
        }
        this.checkHistory(items);
    }

    async run() {
        await this.open();
        for (let i = 20 + this.random.below(40); i > 0; i--) await this.step();
        await this.settle();
        await this.check();
        for (const client of this.clients) client.drop();
    }
}

test(`${ROUNDS} rounds of random clients converge as quill-delta says (SEED=${SEED})`, { timeout: 3600000 }, async () => {
    let next = 0;
    let nOps = 0;
    const running = new Set();
    const lane = async () => {
        while (next < ROUNDS) {
            const seed = SEED + next++;
            const round = new Round(seed);
            running.add(seed);
            try {
                await round.run();
                nOps += round.version;
                running.delete(seed);
            } catch (error) {
                error.message = `SEED=${seed} ROUNDS=1: ${error.message}`;
                throw error;
            }
        }
    };
    const lanes = Promise.all(Array.from({ length: LANES }, lane));
    await within((60000 + ROUNDS * 400) * PATIENCE, () => `the rounds with SEED ${[...running].join(', ')} (ROUNDS=1)`, lanes);
    console.log(`${ROUNDS} rounds, ${nOps} ops`);
});
