// Quill deltas as binary ops (net/op.h), for tests: written from the format's description, not from our C.

const TAG = { retain: 0, insert: 1, embed: 2, delete: 3 };
const HAS_ATTRS = 4;

function varint(n) {
  const out = [];
  while (n >= 128) {
    out.push((n % 128) + 128);
    n = Math.floor(n / 128);
  }
  out.push(n);
  return Buffer.from(out);
}

const str = (b) => Buffer.concat([varint(b.length), b]);
const byBytes = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));

export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value && typeof value === 'object') {
    const keys = Object.keys(value).sort(byBytes);
    return `{${keys.map((k) => `${JSON.stringify(k)}:${canonical(value[k])}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

export function attrsBlock(attributes) {
  const keys = Object.keys(attributes ?? {}).sort(byBytes);
  return Buffer.concat(keys.flatMap((k) => [str(Buffer.from(k)), str(Buffer.from(canonical(attributes[k])))]));
}

function component(op) {
  const block = attrsBlock(op.attributes);
  const attrs = block.length ? [str(block)] : [];
  const tag = (kind) => Buffer.from([kind | (block.length ? HAS_ATTRS : 0)]);
  if (op.delete !== undefined) return [Buffer.from([TAG.delete]), varint(op.delete)];
  if (op.retain !== undefined) return [tag(TAG.retain), varint(op.retain), ...attrs];
  if (typeof op.insert === 'string')
    return [tag(TAG.insert), varint(op.insert.length), str(Buffer.from(op.insert)), ...attrs];
  return [tag(TAG.embed), str(Buffer.from(canonical(op.insert))), ...attrs];
}

export const opBytes = (ops) => Buffer.concat(ops.flatMap(component));
export const hex = (b) => (b.length ? b.toString('hex') : '-');
