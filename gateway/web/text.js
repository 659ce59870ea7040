/*
 * text.js - operations on plain text: compose, transform, apply (protocol section 2; quill-delta 5's rules).
 *
 * An operation is an array of components: n > 0 retains, n < 0 deletes, a string is inserted; lengths are
 * UTF-16 code units. It is always in normal form: neighbours merged, an insert before the delete beside
 * it, no retain at the end. Pure functions; nothing is changed in place but by push().
 */

// Text like "7" or "-3" compares as a number: ask for the type first.
const isInsert = (part) => typeof part === 'string';
const isRetain = (part) => typeof part === 'number' && part > 0;
const isDelete = (part) => typeof part === 'number' && part < 0;
const partLength = (part) => (isInsert(part) ? part.length : Math.abs(part));

/** Appends a component in normal form. */
export function push(op, part) {
    if (partLength(part) === 0) return op;
    let at = op.length;
    // An insert goes before the delete that it stands next to: both orders mean the same.
    if (isInsert(part) && at > 0 && isDelete(op[at - 1])) at--;
    const last = op[at - 1];
    if (at > 0 && isInsert(last) === isInsert(part) && isRetain(last) === isRetain(part)) {
        op[at - 1] = last + part;
    } else {
        op.splice(at, 0, part);
    }
    return op;
}

function chop(op) {
    if (isRetain(op[op.length - 1])) op.pop();
    return op;
}

/** Reads an operation in pieces; past its end it retains for ever. */
class Cursor {
    constructor(op) {
        this.op = op;
        this.idx = 0;
        this.offset = 0;
    }
    get more() {
        return this.idx < this.op.length;
    }
    get part() {
        return this.more ? this.op[this.idx] : Infinity;
    }
    get left() {
        return this.more ? partLength(this.op[this.idx]) - this.offset : Infinity;
    }
    next(length = Infinity) {
        if (!this.more) return length;
        const part = this.op[this.idx];
        const from = this.offset;
        const n = Math.min(length, partLength(part) - from);
        this.offset += n;
        if (this.offset === partLength(part)) {
            this.idx++;
            this.offset = 0;
        }
        if (isInsert(part)) return part.slice(from, from + n);
        return part < 0 ? -n : n;
    }
}

/** The operation that does `a` and then `b`. */
export function compose(a, b) {
    const out = [];
    const left = new Cursor(a);
    const right = new Cursor(b);
    while (left.more || right.more) {
        if (isInsert(right.part)) {
            push(out, right.next());
        } else if (isDelete(left.part)) {
            push(out, left.next());
        } else {
            const n = Math.min(left.left, right.left);
            const was = left.next(n);
            const is = right.next(n);
            if (isRetain(is)) push(out, was);
            else if (!isInsert(was)) push(out, is);
        }
    }
    return chop(out);
}

/** `b` carried past `a`, both made on one text; `aFirst`: a's insert stays left where two meet. */
export function transform(a, b, aFirst) {
    const out = [];
    const past = new Cursor(a);
    const op = new Cursor(b);
    while (past.more || op.more) {
        if (isInsert(past.part) && (aFirst || !isInsert(op.part))) {
            push(out, past.next().length);
        } else if (isInsert(op.part)) {
            push(out, op.next());
        } else {
            const n = Math.min(past.left, op.left);
            const gone = isDelete(past.next(n));
            const part = op.next(n);
            if (!gone) push(out, part);
        }
    }
    return chop(out);
}

/** The text after the operation. Throws where it reaches past the end. */
export function apply(text, op) {
    let out = '';
    let at = 0;
    for (const part of op) {
        if (isInsert(part)) {
            out += part;
            continue;
        }
        if (at + Math.abs(part) > text.length) throw new RangeError('operation reaches past the end');
        if (part > 0) out += text.slice(at, at + part);
        at += Math.abs(part);
    }
    return out + text.slice(at);
}

/** The operation that takes `op` back; `text` is what it was made on. */
export function invert(op, text) {
    const out = [];
    let at = 0;
    for (const part of op) {
        if (isInsert(part)) {
            push(out, -part.length);
        } else {
            push(out, part > 0 ? part : text.slice(at, at - part));
            at += Math.abs(part);
        }
    }
    return chop(out);
}

/** Where a position goes. `stay`: an insert exactly there does not move it. */
export function movePosition(op, pos, stay = false) {
    let at = 0;
    for (const part of op) {
        if (at > pos) break;
        if (isInsert(part)) {
            if (at < pos || !stay) pos += part.length;
            at += part.length;
        } else if (part < 0) {
            pos -= Math.min(-part, pos - at);
        } else {
            at += part;
        }
    }
    return pos;
}

/** Where a position came from: the inverse of movePosition, inserted text falls to where it was put. */
export function positionBefore(op, pos) {
    let before = 0;
    let after = 0;
    for (const part of op) {
        if (isInsert(part)) {
            if (pos <= after + part.length) return before;
            after += part.length;
        } else if (part < 0) {
            before -= part;
        } else {
            if (pos < after + part) break;
            before += part;
            after += part;
        }
    }
    return before + (pos - after);
}

/** The protocol's JSON of an operation (protocol section 2), without client_id, seq and version. */
export function toWire(op) {
    const [head, at] = isRetain(op[0]) ? [op[0], 1] : [0, 0];
    if (op.length === at + 1) {
        const part = op[at];
        if (isInsert(part)) return { type: 'insert', pos: head, str: part };
        return { type: 'delete', pos: head, len: -part };
    }
    const ops = op.map((part) => {
        if (isInsert(part)) return { insert: part };
        return isRetain(part) ? { retain: part } : { delete: -part };
    });
    return { type: 'delta', ops };
}

/** An operation from the protocol's JSON; only what plain text knows. */
export function fromWire(json) {
    const out = [];
    if (json.type === 'insert') return push(push(out, json.pos), json.str);
    if (json.type === 'delete') return push(push(out, json.pos), -json.len);
    if (json.type !== 'delta') throw new TypeError(`a ${json.type} in a plain text`);
    for (const part of json.ops) {
        if (typeof part.insert === 'string') push(out, part.insert);
        else if (part.retain > 0) push(out, part.retain);
        else if (part.delete > 0) push(out, -part.delete);
        else throw new TypeError(`no component of a plain text: ${JSON.stringify(json)}`);
    }
    return chop(out);
}

const isHigh = (text, at) => (text.charCodeAt(at) & 0xfc00) === 0xd800;
const isLow = (text, at) => (text.charCodeAt(at) & 0xfc00) === 0xdc00;
const splitsPair = (text, at) => at > 0 && isHigh(text, at - 1) && isLow(text, at);

/**
 * The smallest single change from one text to another. `caret` (in `is`) decides where the change is when
 * several places would do ("aa" typed into "aa"). Never cuts a surrogate pair.
 */
export function diff(was, is, caret = is.length) {
    const end = Math.min(was.length, is.length);
    const tailMax = Math.min(end, is.length - caret);
    let tail = 0;
    while (tail < tailMax && was[was.length - 1 - tail] === is[is.length - 1 - tail]) tail++;
    let head = 0;
    while (head < end - tail && was[head] === is[head]) head++;
    // What remains may still share an end, where the caret gave a poor hint.
    while (tail < end - head && was[was.length - 1 - tail] === is[is.length - 1 - tail]) tail++;
    if (splitsPair(was, head) || splitsPair(is, head)) head--;
    if (splitsPair(was, was.length - tail) || splitsPair(is, is.length - tail)) tail--;
    const op = push([], head);
    push(op, is.slice(head, is.length - tail));
    return chop(push(op, -(was.length - tail - head)));
}
