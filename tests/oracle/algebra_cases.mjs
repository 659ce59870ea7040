// The cases that a delta algebra is known to stand or fall with (those that quill-delta's own suite is about), as data.
// A delta is written as a list: 'text' inserts, n retains, -n deletes, {embed} inserts an embed; [what, attributes] with attributes.

const B = { bold: true };
const R = { color: 'red' };
const U = { color: 'blue' };
const IMG = { image: 'x.png' };

// [what it is about, a, b, a.compose(b)]
export const compose = [
  ['two inserts at the start', ['A'], ['B'], ['BA']],
  ['a format of what was inserted', ['A'], [[1, { bold: true, color: 'red', font: null }]], [['A', { bold: true, color: 'red' }]]],
  ['a delete of what was inserted', ['A'], [-1], []],
  ['an insert where something was deleted', [-1], ['B'], ['B', -1]],
  ['a format behind a delete', [-1], [[1, { bold: true, color: 'red' }]], [-1, [1, { bold: true, color: 'red' }]]],
  ['two deletes', [-1], [-1], [-2]],
  ['an insert before a format', [[1, U]], ['B'], ['B', [1, U]]],
  ['two formats of one place', [[1, U]], [[1, { bold: true, color: 'red', font: null }]], [[1, { bold: true, color: 'red', font: null }]]],
  ['a delete of what was formatted', [[1, U]], [-1], [-1]],
  ['an insert in the middle of text', ['Hello'], [3, 'X'], ['HelXlo']],
  ['insert and delete in either order', ['Hello'], [3, 'X', -1], ['HelXo']],
  ['delete and insert in the other order', ['Hello'], [3, -1, 'X'], ['HelXo']],
  ['a format of an embed', [[IMG, { width: 300 }]], [[1, { height: 200 }]], [[IMG, { height: 200, width: 300 }]]],
  ['a delete of all there is', [4, 'Hello'], [-9], [-4]],
  ['a retain past the end', ['Hello'], [10], ['Hello']],
  ['a retain over an embed', [IMG], [1], [IMG]],
  ['null takes the last attribute away', [['A', B]], [[1, { bold: null }]], ['A']],
  ['null takes an attribute of an embed away', [[IMG, B]], [[1, { bold: null }]], [IMG]],
  ['null on a retain stays', [3], [[2, { bold: null }]], [[2, { bold: null }]]],
  ['retained runs in front', [['A', B], 'B', ['C', B], -1], [3, 'D'], [['A', B], 'B', ['C', B], 'D', -1]],
  ['retained runs in front, ending inside one', [['A', B], 'B', ['C', B], 5, -1], [4, 'D'], [['A', B], 'B', ['C', B], 1, 'D', 4, -1]],
  ['retained runs behind', ['A', ['B', B], 'C'], [-1], [['B', B], 'C']],
  ['retained runs behind that join', ['A', ['B', B], 'C', ['D', B], 'E', ['F', B]], [1, -1], ['AC', ['D', B], 'E', ['F', B]]],
  ['an insert between an insert and its delete', [2, 'K'], [1, -1, 'J'], [1, 'JK', -1]],
  ['pairs of surrogates', ['a😀b'], [1, -2, '😎'], ['a😎b']],
  ['a format that ends inside text', ['abcd'], [1, [2, R]], ['a', ['bc', R], 'd']],
  ['equal neighbours become one', [['a', B], 'b'], [1, [1, B]], [['ab', B]]],
];

// [what it is about, a, b, a.transform(b, true), a.transform(b, false)]
export const transform = [
  ['two inserts at one place', ['A'], ['B'], [1, 'B'], ['B']],
  ['a format behind an insert', ['A'], [[1, { bold: true, color: 'red' }]], [1, [1, { bold: true, color: 'red' }]]],
  ['a delete behind an insert', ['A'], [-1], [1, -1]],
  ['an insert where something was deleted', [-1], ['B'], ['B']],
  ['a format of what was deleted', [-1], [[1, B]], []],
  ['two deletes of one thing', [-1], [-1], []],
  ['an insert before a format', [[1, U]], ['B'], ['B']],
  ['two formats of one place', [[1, U]], [[1, { bold: true, color: 'red' }]], [[1, B]], [[1, { bold: true, color: 'red' }]]],
  ['the same format twice', [[1, B]], [[1, B]], [], [[1, B]]],
  ['a delete of what was formatted', [[1, U]], [-1], [-1]],
  ['edits in turn, a', [2, 'si', -5], [1, 'e', -5, 1, 'ow'], [1, 'e', -1, 2, 'ow']],
  ['edits in turn, b', [1, 'e', -5, 1, 'ow'], [2, 'si', -5], [2, 'si', -1]],
  ['both append', [3, 'aa'], [3, 'bb'], [5, 'bb'], [3, 'bb']],
  ['one prepends, one appends', ['aa'], [3, 'bb'], [5, 'bb']],
  ['one appends, one prepends', [3, 'bb'], ['aa'], ['aa']],
  ['deletes at the end of different length', [2, -1], [-3], [-2]],
  ['deletes at the end of different length, the other', [-3], [2, -1], []],
  ['an insert inside what was deleted', [-4], [2, 'x'], ['x']],
  ['a delete around an insert', [2, 'x'], [-4], [-2, 1, -2]],
  ['null wins and loses like a value', [[2, { bold: null }]], [[2, B]], [], [[2, B]]],
  ['an embed at one place with text', [IMG], ['B'], [1, 'B'], ['B']],
];

// [what it is about, a, position, with priority, without]
export const position = [
  ['an insert before', ['A'], 2, 3, 3],
  ['an insert behind', [2, 'A'], 1, 1, 1],
  ['an insert at it', [2, 'A'], 2, 2, 3],
  ['a delete before', [-2], 4, 2, 2],
  ['a delete behind', [4, -2], 2, 2, 2],
  ['a delete across', [1, -4], 2, 1, 1],
  ['an insert and a delete before', [2, 'A', -2], 4, 3, 3],
  ['an insert before and a delete across', [2, 'A', -4], 4, 3, 3],
  ['a delete before and a delete across', [-1, 1, -4], 4, 1, 1],
  ['a format', [[4, B]], 2, 2, 2],
  ['an embed at the start', [IMG], 0, 0, 1],
];

// [what it is about, function, a, b, flag (keep nulls; priority), result]
export const attributes = [
  ['nothing over something', 'c', B, {}, false, B],
  ['something over nothing', 'c', {}, B, false, B],
  ['a missing one is added', 'c', { bold: true, color: 'red' }, { italic: true }, false, { bold: true, color: 'red', italic: true }],
  ['a value is replaced', 'c', R, U, false, U],
  ['null removes', 'c', { bold: true, color: 'red' }, { bold: null }, false, R],
  ['null removes the last', 'c', B, { bold: null }, false, {}],
  ['null of something missing', 'c', B, { italic: null }, false, B],
  ['null is kept where asked', 'c', B, { bold: null }, true, { bold: null }],
  ['transform without priority', 't', { bold: true, color: 'red', font: null }, { color: 'blue', font: 'serif', italic: true }, false, { color: 'blue', font: 'serif', italic: true }],
  ['transform with priority', 't', { bold: true, color: 'red', font: null }, { color: 'blue', font: 'serif', italic: true }, true, { italic: true }],
  ['transform by nothing', 't', {}, B, true, B],
  ['transform of nothing', 't', B, {}, true, {}],
  ['invert of nothing', 'i', {}, B, false, {}],
  ['invert of an addition', 'i', B, { italic: true }, false, { bold: null }],
  ['invert of a removal', 'i', { bold: null }, B, false, B],
  ['invert of a replacement', 'i', R, U, false, U],
  ['invert of the same', 'i', R, R, false, {}],
  ['diff of the same', 'd', { bold: true, color: 'red' }, { color: 'red', bold: true }, false, {}],
  ['diff adds', 'd', B, { bold: true, italic: true }, false, { italic: true }],
  ['diff removes', 'd', { bold: true, italic: true }, B, false, { italic: null }],
  ['diff replaces', 'd', { bold: true, color: 'red' }, { bold: true, color: 'blue' }, false, U],
];
