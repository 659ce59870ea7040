/*
 * oracle.mjs - the protocol's operations and contents in terms of quill-delta 5.1.0, the library that the
 * protocol names as the meaning of transform, compose and apply.
 */
import Delta from 'quill-delta';

export { Delta };

/** An op of the protocol (any of its four forms) as a Delta. */
export function deltaOf(op) {
    switch (op.type) {
    case 'insert': return new Delta().retain(op.pos).insert(op.str, op.attributes);
    case 'delete': return new Delta().retain(op.pos).delete(op.len);
    case 'format': return new Delta().retain(op.pos).retain(op.len, op.attributes);
    case 'delta': return new Delta(op.ops).chop();
    default: throw new Error(`no op: ${JSON.stringify(op)}`);
    }
}

/** Content of `GET` or `welcome` as a Delta of inserts, in normal form. */
export function contentDelta(content) {
    const delta = new Delta();
    if (typeof content === 'string') return delta.insert(content);
    for (const part of content.ops) delta.push(part);
    return delta;
}

/** A Delta of inserts as content of that document type. */
export function contentOf(delta, type) {
    if (type === 'rich') return { ops: delta.ops };
    return delta.ops.map((part) => part.insert).join('');
}

/** Text that can be compared: keys sorted at every depth, neighbours merged. */
export function normal(delta) {
    const merged = new Delta();
    for (const part of delta.ops) merged.push(part);
    return JSON.stringify(merged.ops, (key, value) => {
        if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
        return Object.fromEntries(Object.keys(value).sort().map((name) => [name, value[name]]));
    });
}

/** Whole history of a document, through every page. */
export async function historyOf(server, as, id, { limit = 500, query = '' } = {}) {
    const items = [];
    let cursor = null;
    do {
        const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : '';
        const page = await server.ask('GET', `/docs/${id}/history?limit=${limit}${query}${more}`, { as });
        items.push(...page.items);
        cursor = page.cursor;
    } while (cursor);
    return items;
}

/** Applies history to the content that the document was created with. */
export function replay(start, items) {
    let content = contentDelta(start);
    items.forEach((item, idx) => {
        if (item.version !== items[0].version + idx) throw new Error(`version ${item.version} at place ${idx}`);
        content = content.compose(deltaOf(item.op));
    });
    return content;
}

/** A small seeded generator (mulberry32): same seed, same run. */
export class Random {
    constructor(seed) {
        this.state = seed >>> 0;
    }
    real() {
        this.state = (this.state + 0x6d2b79f5) >>> 0;
        let t = this.state;
        t = Math.imul(t ^ (t >>> 15), t | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    }
    below(n) {
        return Math.floor(this.real() * n);
    }
    chance(p) {
        return this.real() < p;
    }
    pick(list) {
        return list[this.below(list.length)];
    }
}

export const ATTRIBUTES = [
    { bold: true }, { bold: null }, { italic: true, bold: null }, { color: '#c0ffee' }, { color: null },
    { link: 'https://example.org/?q="ä"' }, { header: 2 }, { bold: true, size: 1.5 },
];
const PIECES = ['a', 'b ', '7', '-3 ', '\n', 'xyz', 'é', 'e\u0301', '\u{1f600}', '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}', 'नि', '\u{1f1e9}\u{1f1ea}', '"\\', '\u0001', '日本'];
const EMBEDS = [{ image: 'https://example.org/i.png' }, { formula: 'e=mc^2' }, { mention: { id: 7, name: 'Zoë' } }];

/** Units at which an op may cut `content`: not inside a surrogate pair. */
function cutBefore(content, at) {
    const text = content.ops.map((part) => (typeof part.insert === 'string' ? part.insert : '\ufffc')).join('');
    const low = (text.charCodeAt(at) & 0xfc00) === 0xdc00;
    return low && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800 ? at - 1 : at;
}

/** A random op (its Delta) that is valid on `content`. */
export function randomDelta(random, content, rich) {
    const length = content.length();
    const cut = (at) => cutBefore(content, at);
    const delta = new Delta();
    let at = 0;
    const parts = 1 + (random.chance(0.3) ? random.below(3) : 0);
    for (let i = 0; i < parts; i++) {
        const pos = cut(at + random.below(length - at + 1));
        if (pos < at) break;
        delta.retain(pos - at);
        at = pos;
        const left = length - at;
        const what = random.real();
        const end = cut(at + random.below(Math.min(left, 8) + 1));
        if (what < 0.55 || left === 0) {
            const attributes = rich && random.chance(0.4) ? stripNulls(random.pick(ATTRIBUTES)) : undefined;
            if (rich && random.chance(0.15)) delta.insert(random.pick(EMBEDS), attributes);
            else delta.insert(Array.from({ length: 1 + random.below(3) }, () => random.pick(PIECES)).join(''), attributes);
        } else if (what < 0.8 || !rich) {
            delta.delete(Math.max(0, end - at));
            at = Math.max(at, end);
        } else {
            delta.retain(Math.max(0, end - at), random.pick(ATTRIBUTES));
            at = Math.max(at, end);
        }
    }
    return delta.chop();
}

function stripNulls(attributes) {
    const kept = Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== null));
    return Object.keys(kept).length > 0 ? kept : undefined;
}

/** A Delta as one of the forms that say it; simple ones where they can. */
export function wireOf(delta) {
    const ops = delta.ops;
    const pos = ops.length > 1 && ops[0].retain && !ops[0].attributes ? ops[0].retain : 0;
    const only = ops.length === (pos ? 2 : 1) ? ops[ops.length - 1] : null;
    const attributes = only?.attributes ? { attributes: only.attributes } : {};
    if (only && typeof only.insert === 'string') return { type: 'insert', pos, str: only.insert, ...attributes };
    if (only?.delete) return { type: 'delete', pos, len: only.delete };
    if (only?.retain && only.attributes) return { type: 'format', pos, len: only.retain, ...attributes };
    return { type: 'delta', ops };
}
