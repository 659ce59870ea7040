// Holds our algebra (through algebra_child) against npm's quill-delta: the known cases, then random ones.
// Usage: node algebra.mjs CHILD [ROUNDS [SEED]]; ends with "N passed, N failed".
import { spawnSync } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import Delta from 'quill-delta';
import * as cases from './algebra_cases.mjs';
import { attrsBlock, hex, opBytes } from './delta_bytes.mjs';

const { AttributeMap } = Delta;
const [child, roundsArg = process.env.ALGEBRA_ROUNDS ?? '40000', seedArg = process.env.ALGEBRA_SEED ?? '1'] = process.argv.slice(2);
const ROUNDS = Number(roundsArg);
const BATCH = 2000;
const SHOWN_MAX = 10;
let passed = 0;
let failed = 0;

function verdict(ok, ...explanation) {
  if (ok) passed += 1;
  else if (++failed <= SHOWN_MAX) console.log('FAIL', ...explanation);
}

// --- asking: questions are gathered, put to the child at once, and its answers compared ---

let questions = [];
function ask(line, want, note) {
  questions.push({ line, want, note });
}
function settle() {
  const input = questions.map((q) => `${q.line}\n`).join('');
  const run = spawnSync(child, { input, maxBuffer: 1 << 30, encoding: 'latin1' });
  const answers = run.stdout.split('\n');
  if (run.status !== 0) verdict(false, `the child ended with ${run.status ?? run.signal}`, run.stderr.slice(-2000));
  questions.forEach((q, i) => verdict(answers[i] === q.want, `${q.line}\n  want ${q.want}\n  got  ${answers[i]}`, q.note ?? ''));
  questions = [];
}

const op = (delta) => hex(opBytes(delta.ops));
const block = (attributes) => hex(attrsBlock(attributes));
const bit = (flag) => (flag ? '1' : '0');
function normal(delta) {
  const out = new Delta();
  for (const part of delta.ops) out.push(part);
  return out.chop();
}

// --- known cases: quill-delta and we both have to give what is written ---

function parse(list) {
  const d = new Delta();
  for (const item of list) {
    const [what, attributes] = Array.isArray(item) ? item : [item];
    if (typeof what !== 'number') d.insert(what, attributes);
    else if (what < 0) d.delete(-what);
    else d.retain(what, attributes);
  }
  return d;
}

function knownCases() {
  const same = (about, got, want) => verdict(isDeepStrictEqual(got.ops, want.ops), `quill-delta, ${about}`, JSON.stringify(got));
  for (const [about, a, b, want] of cases.compose) {
    same(about, parse(a).compose(parse(b)), parse(want));
    ask(`C ${op(parse(a))} ${op(parse(b))}`, op(parse(want)), about);
  }
  for (const [about, a, b, first, second = first] of cases.transform) {
    for (const [priority, want] of [[true, first], [false, second]]) {
      same(about, parse(a).transform(parse(b), priority), parse(want));
      ask(`T ${op(parse(a))} ${op(parse(b))} ${bit(priority)}`, op(parse(want)), about);
    }
  }
  for (const [about, a, pos, first, second] of cases.position) {
    for (const [priority, want] of [[true, first], [false, second]]) {
      verdict(parse(a).transformPosition(pos, priority) === want, `quill-delta, ${about}`);
      ask(`P ${op(parse(a))} ${pos} ${bit(priority)}`, String(want), about);
    }
  }
  const quill = { c: AttributeMap.compose, t: AttributeMap.transform, i: AttributeMap.invert, d: AttributeMap.diff };
  for (const [about, f, a, b, flag, want] of cases.attributes) {
    verdict(isDeepStrictEqual(quill[f](a, b, flag) ?? {}, want), `quill-delta, ${about}`);
    ask(`V ${f} ${block(a)} ${block(b)} ${bit(flag)}`, block(want), about);
  }
  settle();
}

// --- random ones ---

function random(seed) {
  let s = seed >>> 0;
  const next = () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = s;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (n) => Math.floor(next() * n);
  const pick = (list) => list[below(list.length)];
  return { below, pick, chance: (p) => next() < p };
}

const WILD = ['é', 'e\u0301', '€', '😀', '👩‍👩‍👧', 'й', '\n', '\u2028', '漢', '\u{10ffff}', '\ufffd', '"\\'];
const KEYS = ['bold', 'color', 'é', 'list', '😀', 'a b'];
const VALUES = [true, false, null, 'red', 1, -1.5, 1e21, '', 'ü"\n', { x: 1, a: [null, { b: 'c' }] }, { x: 1 }, [], {}, 0];
const EMBEDS = [{ image: 'x' }, { formula: 'e=mc²' }, { mention: { id: 7, name: 'Ü' } }, { hr: true }];

function randomAttributes(rng) {
  const out = {};
  for (let n = rng.below(3); n >= 0; n--) out[rng.pick(KEYS)] = rng.pick(VALUES);
  return out;
}
const maybeAttributes = (rng, rich) => (rich && rng.chance(0.4) ? randomAttributes(rng) : undefined);

function randomText(rng) {
  let s = '';
  for (let n = rng.below(rng.chance(0.1) ? 200 : 5); n >= 0; n--) s += rng.chance(0.3) ? rng.pick(WILD) : String.fromCharCode(97 + rng.below(26));
  return s;
}

function addInsert(rng, delta, rich) {
  if (rich && rng.chance(0.2)) delta.insert(rng.pick(EMBEDS), maybeAttributes(rng, rich));
  else delta.insert(randomText(rng), maybeAttributes(rng, rich));
}

function randomDocument(rng, rich) {
  const d = new Delta();
  for (let n = rng.below(8); n > 0; n--) addInsert(rng, d, rich);
  return d;
}

// Where a position may not be: between the halves of a pair. An embed counts as any other unit.
const units = (doc) => doc.ops.map((o) => (typeof o.insert === 'string' ? o.insert : ' ')).join('');
const isInside = (text, at) => (text.charCodeAt(at) & 0xfc00) === 0xdc00;

function randomOp(rng, doc, rich) {
  const text = units(doc);
  const d = new Delta();
  let at = 0;
  for (let n = 1 + rng.below(6); n > 0; n--) {
    let span = Math.min(1 + rng.below(rng.chance(0.2) ? 60 : 6), text.length - at);
    if (span > 0 && isInside(text, at + span)) span += 1;
    const kind = rng.below(4);
    if (kind === 0 || span <= 0) addInsert(rng, d, rich);
    else if (kind === 1) d.delete(span);
    else d.retain(span, kind === 2 ? maybeAttributes(rng, rich) : undefined);
    if (kind !== 0) at += Math.max(span, 0);
  }
  return rng.chance(0.9) ? d.chop() : d;
}

// The same change of `text` in components that are not merged, as a careless client may send it.
function shatter(rng, delta, text) {
  const ops = [];
  let at = 0;
  for (const o of delta.ops) {
    const n = o.retain ?? o.delete;
    const cut = typeof o.insert === 'string' && o.insert.length > 1 ? 1 + rng.below(o.insert.length - 1) : 0;
    if (cut && !isInside(o.insert, cut)) ops.push({ ...o, insert: o.insert.slice(0, cut) }, { ...o, insert: o.insert.slice(cut) });
    else if (!(n > 1) || isInside(text, at + 1)) ops.push(o);
    else if (o.retain) ops.push({ ...o, retain: 1 }, { ...o, retain: n - 1 });
    else ops.push({ delete: 1 }, { delete: n - 1 });
    at += n ?? 0;
  }
  return new Delta(ops);
}

function askRound(rng) {
  const rich = rng.chance(0.7);
  const doc = randomDocument(rng, rich);
  const a = randomOp(rng, doc, rich);
  const b = randomOp(rng, doc, rich);
  const after = doc.compose(a);
  const then = randomOp(rng, after, rich);
  const ab = a.transform(b, true);
  const ba = b.transform(a, false);
  ask(`T ${op(a)} ${op(b)} 1`, op(ab));
  ask(`T ${op(b)} ${op(a)} 0`, op(ba));
  ask(`C ${op(a)} ${op(then)}`, op(a.compose(then)));
  const pos = rng.below(20);
  const priority = rng.chance(0.5);
  ask(`P ${op(a)} ${pos} ${bit(priority)}`, String(a.transformPosition(pos, priority)));
  ask(`L ${op(doc)}`, op(doc));
  ask(`A ${op(a)}`, op(after));
  ask(`A ${op(ab)}`, op(after.compose(ab)));
  verdict(isDeepStrictEqual(normal(after.compose(ab)), normal(doc.compose(b).compose(ba))), 'quill-delta diverges', op(doc), op(a), op(b));
  if (rng.chance(0.2)) {
    const sa = shatter(rng, a, units(doc));
    const sb = shatter(rng, b, units(doc));
    ask(`N ${op(sa)}`, op(normal(sa)));
    ask(`T ${op(sa)} ${op(sb)} 1`, op(normal(sa.transform(sb, true))));
    ask(`C ${op(sa)} ${op(shatter(rng, then, units(after)))}`, op(normal(a.compose(then))));
  }
}

function askAttributes(rng) {
  const a = randomAttributes(rng);
  const b = randomAttributes(rng);
  const flag = rng.chance(0.5);
  ask(`V c ${block(a)} ${block(b)} ${bit(flag)}`, block(AttributeMap.compose(a, b, flag)));
  ask(`V t ${block(a)} ${block(b)} ${bit(flag)}`, block(AttributeMap.transform(a, b, flag)));
  // As if parsed apart: invert compares objects by identity.
  ask(`V i ${block(a)} ${block(b)} 0`, block(AttributeMap.invert(structuredClone(a), b)));
  ask(`V d ${block(a)} ${block(b)} 0`, block(AttributeMap.diff(a, b)));
}

function randomCases() {
  const rng = random(Number(seedArg));
  for (let i = 1; i <= ROUNDS; i++) {
    askRound(rng);
    if (i % 10 === 0) askAttributes(rng);
    if (i % BATCH === 0) settle();
  }
  settle();
}

knownCases();
randomCases();
console.log(`seed ${seedArg}, ${ROUNDS} rounds`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
