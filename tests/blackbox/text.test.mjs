/* The page's operations on plain text mean what quill-delta's do. No server: pure functions. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as text from '../../gateway/web/text.js';
import { Delta, Random, contentDelta, contentOf, deltaOf, normal, randomDelta } from './oracle.mjs';

const SEED = Number(process.env.SEED || Date.now() % 1e9);
const ROUNDS = Number(process.env.TEXT_ROUNDS || 3000);

/** Quill's operation as ours. */
const ours = (delta) => text.fromWire({ type: 'delta', ops: delta.ops });
const theirs = (op) => deltaOf(text.toWire(op));

function randomText(random) {
    let content = new Delta();
    for (let i = 0; i < 4; i++) content = content.compose(randomDelta(random, content, false));
    return content;
}

describe(`operations on plain text (SEED=${SEED})`, () => {
    const random = new Random(SEED);
    const each = (check) => {
        for (let i = 0; i < ROUNDS; i++) {
            const content = randomText(random);
            check(content, randomDelta(random, content, false), randomDelta(random, content, false));
        }
    };

    test('transform equals quill-delta with either priority', () => each((content, a, b) => {
        for (const first of [true, false]) {
            assert.equal(normal(theirs(text.transform(ours(a), ours(b), first))), normal(a.transform(b, first)));
        }
    }));

    test('compose equals quill-delta', () => each((content, a) => {
        const b = randomDelta(random, content.compose(a), false);
        assert.equal(normal(theirs(text.compose(ours(a), ours(b)))), normal(a.compose(b)));
    }));

    test('apply equals quill-delta', () => each((content, a) => {
        assert.equal(text.apply(contentOf(content, 'text'), ours(a)), contentOf(content.compose(a), 'text'));
    }));

    test('both orders of two concurrent operations lead to one text', () => each((content, a, b) => {
        const start = contentOf(content, 'text');
        const one = text.apply(text.apply(start, ours(a)), text.transform(ours(a), ours(b), true));
        const two = text.apply(text.apply(start, ours(b)), text.transform(ours(b), ours(a), false));
        assert.equal(one, two);
    }));

    test('invert takes an operation back', () => each((content, a) => {
        const start = contentOf(content, 'text');
        const undo = text.invert(ours(a), start);
        assert.equal(text.apply(text.apply(start, ours(a)), undo), start);
    }));

    test('movePosition equals quill-delta, which keeps or moves a position at an insert', () => each((content, a) => {
        const pos = random.below(content.length() + 1);
        for (const stay of [true, false]) {
            assert.equal(text.movePosition(ours(a), pos, stay), a.transformPosition(pos, stay), JSON.stringify([a.ops, pos]));
        }
    }));

    test('positionBefore finds where a position inside kept text came from', () => each((content, a) => {
        let before = 0;
        let after = 0;
        for (const part of [...ours(a), content.length()]) {
            if (typeof part === 'string') {
                after += part.length;
            } else if (part < 0) {
                before -= part;
            } else {
                for (let at = 1; at < part; at++) assert.equal(text.positionBefore(ours(a), after + at), before + at);
                before += part;
                after += part;
            }
        }
    }));

    test('positionBefore puts what was inserted where it was inserted', () => {
        assert.deepEqual([0, 2, 3, 4, 5, 6].map((pos) => text.positionBefore([2, 'abc', -1], pos)), [0, 2, 2, 2, 2, 4]);
    });

    test('the wire form comes back as the same operation', () => each((content, a) => {
        assert.deepEqual(text.fromWire(text.toWire(ours(a))), ours(a));
    }));
});

describe('diff', () => {
    test('leads from one text to the other and cuts no surrogate pair', () => {
        const random = new Random(SEED + 1);
        for (let i = 0; i < ROUNDS; i++) {
            const was = contentOf(randomText(random), 'text');
            const is = contentOf(contentDelta(was).compose(randomDelta(random, contentDelta(was), false)), 'text');
            const op = text.diff(was, is, random.below(is.length + 1));
            assert.equal(text.apply(was, op), is);
            let at = 0;
            for (const part of op) {
                if (typeof part === 'string') {
                    assert.ok(!/^[\udc00-\udfff]|[\ud800-\udbff]$/.test(part), JSON.stringify([was, is, op]));
                } else {
                    at += Math.abs(part);
                    assert.ok(!/[\ud800-\udbff]$/.test(was.slice(0, at)) || at === was.length, JSON.stringify([was, is, op]));
                }
            }
        }
    });

    test('one emoji replaced by another with the same first unit is a whole replacement', () => {
        assert.deepEqual(text.diff('\u{1f600}', '\u{1f601}', 2), ['\u{1f601}', -2]);
        assert.deepEqual(text.diff('x\u{1f600}', 'x\u{1f9d0}', 3), [1, '\u{1f9d0}', -2]);
    });

    test('the caret tells which of several equal letters is new', () => {
        assert.deepEqual(text.diff('aaa', 'aaaa', 2), [1, 'a']);
        assert.deepEqual(text.diff('aaaa', 'aaa', 1), [1, -1]);
        assert.deepEqual(text.diff('same', 'same', 2), []);
    });
});

test('apply refuses an operation that reaches past the end', () => {
    assert.throws(() => text.apply('abc', [4]), RangeError);
    assert.throws(() => text.apply('abc', [2, -2]), RangeError);
});
