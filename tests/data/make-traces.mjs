/*
 * make-traces.mjs - writes the two small traces beside it, in the form of github.com/josephg/editing-traces:
 * positions count Unicode code points. Deterministic: run it again and the files are the same.
 */
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { Random } from '../blackbox/oracle.mjs';

const PIECES = ['a', 'be', ' ', 'the ', '\n', 'é', 'e\u0301', '\u{1f600}', '\u{1f469}\u200d\u{1f680}', '日本語', 'ß', '\u{10348}'];
const write = (name, trace) => writeFileSync(new URL(`${name}.json.gz`, import.meta.url), gzipSync(JSON.stringify(trace), { level: 9 }));

/** A random patch on a list of code points, done to it; gives [pos, deleted, inserted]. */
function patch(random, points) {
    const pos = random.chance(0.6) ? points.length : random.below(points.length + 1);
    const deleted = random.chance(0.25) ? Math.min(1 + random.below(5), points.length - pos) : 0;
    const inserted = deleted && random.chance(0.7) ? '' : random.pick(PIECES);
    points.splice(pos, deleted, ...inserted);
    return [pos, deleted, inserted];
}

function sequential() {
    const random = new Random(1);
    const startContent = 'Start \u{1f331}\n';
    const points = [...startContent];
    const txns = Array.from({ length: 600 }, (_, i) => ({
        time: new Date(1700000000000 + i * 1000).toISOString(),
        patches: Array.from({ length: random.chance(0.1) ? 3 : 1 }, () => patch(random, points)),
    }));
    return { startContent, endContent: points.join(''), txns };
}

/**
 * Two people: agent 0 writes before the bar, agent 1 behind it, so that every correct merge ends alike.
 * An agent hears of the other now and then; what it makes until then is concurrent with the other's.
 */
function concurrent() {
    const random = new Random(2);
    const txns = [{ parents: [], agent: 0, patches: [[0, 0, 'left \u{1f4dd}|right \u{1f4d0}']] }];
    const own = [[...'left \u{1f4dd}'], [...'right \u{1f4d0}']];
    let leftSeen = own[0].length; // what agent 1 knows of the length before the bar
    const newest = [0, 0]; // of each agent's txns
    const heard = [0, 0]; // the newest txn of the other that each knows
    while (txns.length < 500) {
        const agent = random.below(2);
        const other = 1 - agent;
        if (random.chance(0.3)) {
            heard[agent] = newest[other];
            if (agent === 1) leftSeen = own[0].length;
        }
        for (let burst = 1 + random.below(4); burst > 0; burst--) {
            const [pos, deleted, inserted] = patch(random, own[agent]);
            const parents = [...new Set([newest[agent], heard[agent]])].sort((a, b) => a - b);
            // A txn that a parent already follows is no parent of its own.
            const frontier = parents.filter((txn) => !parents.some((later) => later !== txn && follows(txns, later, txn)));
            txns.push({ parents: frontier, agent, patches: [[agent ? leftSeen + 1 + pos : pos, deleted, inserted]] });
            newest[agent] = txns.length - 1;
        }
    }
    const endContent = `${own[0].join('')}|${own[1].join('')}`;
    return { kind: 'concurrent', endContent, numAgents: 2, txns };
}

function follows(txns, later, earlier) {
    const todo = [later];
    const seen = new Set();
    while (todo.length > 0) {
        const txn = todo.pop();
        if (txn === earlier) return true;
        if (txn < earlier || seen.has(txn)) continue;
        seen.add(txn);
        todo.push(...txns[txn].parents);
    }
    return false;
}

write('sequential', sequential());
write('concurrent', concurrent());
