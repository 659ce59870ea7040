/*
 * app.js - the plain page: sign in, choose a document, edit it together.
 *
 * The protocol is client.js's; this file moves text between it and a textarea, draws the others' carets
 * in the mirror behind it, and speaks HTTP for the lists. All state of a tab is in sessionStorage, so two
 * windows can be two people.
 */
import { TextClient } from './client.js';
import { apply, compose, diff, invert, movePosition, transform } from './text.js';

const UNDO_MAX = 200;
const UNDO_JOIN_MS = 700;
const TOKEN_RENEW_MS = 60000;

const $ = (id) => document.getElementById(id);
const store = sessionStorage;

// --- who is here --------------------------------------------------------------------------------------

function claims() {
    try {
        const part = store.token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
        const bytes = Uint8Array.from(atob(part), (c) => c.charCodeAt(0));
        return JSON.parse(new TextDecoder().decode(bytes));
    } catch {
        return null;
    }
}

/** Asks a --dev server for a token; false where it gives none. */
async function signInByName(name) {
    const answer = await fetch('/dev/token', {
        method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ sub: name, name }),
    });
    if (!answer.ok) return false;
    store.token = (await answer.json()).token;
    store.name = name;
    return true;
}

/** A token that lasts a while yet, if one can be had. */
async function freshToken() {
    const { exp = 0 } = claims() || {};
    if (store.name && exp * 1000 < Date.now() + TOKEN_RENEW_MS) await signInByName(store.name).catch(() => false);
    return store.token;
}

function signOut(notice) {
    store.clear();
    tell(notice);
    route();
}

// --- HTTP ---------------------------------------------------------------------------------------------

async function call(method, path, body) {
    const headers = { authorization: `Bearer ${await freshToken()}` };
    if (body) headers['content-type'] = 'application/json';
    const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    if (answer.status === 401) signOut('Please sign in again.');
    if (!answer.ok) {
        const problem = await answer.json().catch(() => ({}));
        throw new Error(problem.detail || problem.title || `The server answered ${answer.status}.`);
    }
    return answer.status === 204 ? null : answer.json().catch(() => null);
}

const docPath = (id, rest = '') => `/docs/${encodeURIComponent(id)}${rest}`;

function tell(text) {
    $('notice').textContent = text || '';
    $('notice').hidden = !text;
}

/** Runs what a form asks for, and says what went wrong. */
function onSubmit(id, action) {
    $(id).addEventListener('submit', async (event) => {
        event.preventDefault();
        tell('');
        try {
            await action();
        } catch (error) {
            tell(error.message);
        }
    });
}

// --- the list -----------------------------------------------------------------------------------------

let listCursor = null;

async function showList(more) {
    const page = await call('GET', `/docs?limit=30${more ? `&cursor=${listCursor}` : ''}`);
    if (!more) $('list').replaceChildren();
    for (const doc of page.items) {
        const link = document.createElement('a');
        link.href = `#doc=${encodeURIComponent(doc.id)}`;
        const name = document.createElement('span');
        name.className = 'name';
        name.textContent = doc.title || doc.id;
        const when = document.createElement('time');
        when.textContent = new Date(doc.last_modified).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
        link.append(name, when);
        const item = document.createElement('li');
        item.append(link);
        $('list').append(item);
    }
    listCursor = page.cursor;
    $('list-more').hidden = !listCursor;
    $('list-empty').hidden = $('list').childElementCount > 0;
}

// --- the editor ---------------------------------------------------------------------------------------

/** A textarea turns CR into LF: show it as a sign of the same length, so that positions stay right. */
const shown = (text) => text.replace(/\r/g, '\u240d');

function colourOf(id) {
    let hash = 7;
    for (const c of id) hash = (hash * 31 + c.codePointAt(0)) >>> 0;
    return `hsl(${(hash * 47) % 360} 62% 42%)`;
}

/** Local edits that can be taken back, each as an operation on what the ones above it leave. */
class UndoStack {
    constructor() {
        this.ops = [];
    }
    push(op, join) {
        if (join && this.ops.length > 0) op = compose(op, this.ops.pop());
        this.ops.push(op);
        if (this.ops.length > UNDO_MAX) this.ops.shift();
    }
    carryPast(theirs) {
        for (let i = this.ops.length - 1; i >= 0; i--) {
            const mine = this.ops[i];
            this.ops[i] = transform(theirs, mine, true);
            theirs = transform(mine, theirs, false);
        }
        this.ops = this.ops.filter((op) => op.length > 0);
    }
}

class Editor {
    constructor(id) {
        this.id = id;
        this.area = $('text');
        this.text = ''; // what the textarea shows is shown(text)
        this.undo = new UndoStack();
        this.redo = new UndoStack();
        this.lastTypedMs = 0;
        this.composing = null; // what others did since an input method began
        this.client = new TextClient({
            docId: id,
            clientId: this.#clientId(),
            openSocket: (query) => this.#openSocket(query),
            probe: () => this.#probe(),
            onState: () => this.#showState(),
            onContent: (text) => this.#load(text),
            onRemote: (op) => this.#remote(op),
            onPresence: () => this.#draw(),
            onTitle: (title) => this.#showTitle(title),
            onNotice: tell,
        });
        this.events = new AbortController();
        this.#listen();
        this.#draw();
        this.client.open();
        call('GET', docPath(id)).then((doc) => this.#showTitle(doc.title), (error) => tell(error.message));
        this.renewal = setInterval(() => this.#renew(), TOKEN_RENEW_MS / 4);
    }

    close() {
        clearInterval(this.renewal);
        this.events.abort();
        this.client.close();
    }

    /** One identity a tab and document, so that what was sent before a reload is known again. */
    #clientId() {
        const key = `client:${claims()?.sub}:${this.id}`;
        store[key] ||= Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, '0')).join('');
        return store[key];
    }

    async #openSocket(query) {
        const token = await freshToken();
        const base = location.origin.replace(/^http/, 'ws');
        return new WebSocket(`${base}/ws/docs/${encodeURIComponent(this.id)}?${query}`, ['penstock.v1', `bearer.${token}`]);
    }

    async #probe() {
        const headers = { authorization: `Bearer ${await freshToken()}` };
        return (await fetch(docPath(this.id), { headers })).status;
    }

    async #renew() {
        const before = store.token;
        if ((await freshToken()) !== before) this.client.renew(store.token);
    }

    // --- textarea -> client ---

    #listen() {
        const on = (target, names, then) => {
            for (const name of names.split(' ')) target.addEventListener(name, then, { signal: this.events.signal });
        };
        on(this.area, 'input', () => this.composing || this.#typed());
        on(this.area, 'compositionstart', () => { this.composing = []; });
        on(this.area, 'compositionend', () => {
            const past = this.composing || [];
            this.composing = null;
            this.#typed(past);
        });
        on(document, 'selectionchange', () => this.#moved());
        on(this.area, 'focus keyup pointerup', () => this.#moved());
        on(this.area, 'beforeinput', (event) => {
            if (event.inputType === 'historyUndo') this.#takeBack(event, this.undo, this.redo);
            if (event.inputType === 'historyRedo') this.#takeBack(event, this.redo, this.undo);
        });
        on(this.area, 'keydown', (event) => {
            if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
            const key = event.key.toLowerCase();
            if (key === 'y' || (key === 'z' && event.shiftKey)) this.#takeBack(event, this.redo, this.undo);
            else if (key === 'z') this.#takeBack(event, this.undo, this.redo);
        });
        on($('doc-title'), 'change', () => {
            call('PATCH', docPath(this.id), { title: $('doc-title').value }).catch((error) => tell(error.message));
        });
        on(window, 'beforeunload', (event) => {
            if (!this.client.isSaved) event.preventDefault();
        });
    }

    /** `past`: what others did while an input method held the textarea. */
    #typed(past = []) {
        const { area } = this;
        const op = diff(shown(this.text), area.value, area.selectionEnd);
        const mine = transform(past, op, true);
        if (mine.length > 0) {
            const now = performance.now();
            this.undo.push(invert(mine, this.client.content), now - this.lastTypedMs < UNDO_JOIN_MS);
            this.redo = new UndoStack();
            this.lastTypedMs = now;
        }
        this.text = apply(this.text, op);
        this.client.edit(mine);
        if (past.length > 0) this.#replace(transform(op, past, false));
        this.#draw();
        this.#moved();
    }

    #takeBack(event, from, to) {
        event.preventDefault();
        const op = from.ops.pop();
        if (!op || this.composing || !this.client.canEdit) return;
        to.push(invert(op, this.text), false);
        this.lastTypedMs = 0;
        this.client.edit(op);
        this.#replace(op);
        const change = typeof op[0] === 'number' ? Math.max(op[0], 0) : 0;
        const inserted = op.find((part) => typeof part === 'string') || '';
        this.area.setSelectionRange(change + inserted.length, change + inserted.length);
        this.#draw();
    }

    #moved() {
        if (document.activeElement !== this.area || this.composing) return;
        const { selectionStart: from, selectionEnd: to, selectionDirection } = this.area;
        const [anchor, head] = selectionDirection === 'backward' ? [to, from] : [from, to];
        this.client.setCursor(head, from === to ? null : [anchor, head]);
    }

    // --- client -> textarea ---

    #load(text) {
        this.text = text;
        this.undo = new UndoStack();
        this.redo = new UndoStack();
        this.composing = this.composing && [];
        this.area.value = shown(text);
        this.area.disabled = false;
        this.#draw();
    }

    #remote(op) {
        this.lastTypedMs = 0;
        this.undo.carryPast(op);
        this.redo.carryPast(op);
        if (this.composing) this.composing = compose(this.composing, op);
        else this.#replace(op);
        this.#draw();
    }

    /** Changes text and textarea, and keeps the user's selection where it was in the text. */
    #replace(op) {
        const { area } = this;
        const { selectionStart, selectionEnd, selectionDirection } = area;
        this.text = apply(this.text, op);
        area.value = shown(this.text);
        const move = (pos) => movePosition(op, pos, true);
        area.setSelectionRange(move(selectionStart), move(selectionEnd), selectionDirection);
    }

    /** Draws the mirror at the next frame: the text, and carets and selections of the others in it. */
    #draw() {
        if (this.frame) return;
        this.frame = requestAnimationFrame(() => {
            this.frame = 0;
            const cursors = this.client.cursors();
            $('mirror').replaceChildren(...mirrorNodes(shown(this.text), cursors));
            $('people').replaceChildren(...cursors.map(({ name, clientId }) => {
                const item = document.createElement('li');
                item.textContent = name;
                item.style.setProperty('--mark', colourOf(clientId));
                return item;
            }));
        });
    }

    #showTitle(title) {
        document.title = title ? `${title} · Penstock` : 'Penstock';
        if (document.activeElement !== $('doc-title')) $('doc-title').value = title || '';
    }

    #showState() {
        const { client } = this;
        if (!client) return; // still being made
        const saved = client.isSaved ? 'All saved' : 'Saving\u2026';
        const kept = client.isSaved ? '' : '; your edits are kept';
        const [text, look] = {
            live: [client.canEdit ? saved : 'Reading', client.isSaved ? 'good' : 'busy'],
            syncing: ['Catching up\u2026', 'busy'],
            connecting: [`Connecting\u2026${kept}`, 'busy'],
            waiting: [`Offline, trying again${kept}`, 'bad'],
            stopped: [client.reason, 'bad'],
            closed: ['Closed', ''],
        }[client.state];
        $('state').textContent = text;
        $('dot').className = look;
        $('version').textContent = client.version < 0 ? '\u2013' : client.version;
        $('role').textContent = client.role || '';
        $('editor').dataset.state = client.state;
        $('editor').dataset.saved = client.isSaved;
        this.area.disabled = client.version < 0 || client.state === 'stopped';
        this.area.readOnly = !client.canEdit;
        $('doc-title').readOnly = !client.canEdit;
        $('share-form').hidden = client.role !== 'owner';
    }
}

/** The text cut at every mark, with a caret for each cursor and a tint for each selection. */
function mirrorNodes(text, cursors) {
    const cuts = new Set([0, text.length]);
    for (const { pos, selection } of cursors) for (const at of [pos, ...(selection || [])]) cuts.add(Math.min(at, text.length));
    const nodes = [];
    let from = 0;
    for (const at of [...cuts].sort((a, b) => a - b)) {
        if (at > from) {
            const over = cursors.find(({ selection }) => selection && Math.min(...selection) <= from && Math.max(...selection) >= at);
            const piece = over ? document.createElement('mark') : document.createTextNode('');
            piece.textContent = text.slice(from, at);
            if (over) piece.style.setProperty('--mark', colourOf(over.clientId));
            nodes.push(piece);
        }
        for (const cursor of cursors.filter(({ pos }) => Math.min(pos, text.length) === at)) {
            const caret = document.createElement('span');
            caret.className = 'caret';
            caret.dataset.name = cursor.name;
            caret.style.setProperty('--mark', colourOf(cursor.clientId));
            nodes.push(caret);
        }
        from = at;
    }
    nodes.push(document.createTextNode('\n\u200b'));
    return nodes;
}

// --- from one view to another -------------------------------------------------------------------------

let editor = null;

async function route() {
    const id = new URLSearchParams(location.hash.slice(1)).get('doc');
    const view = !store.token ? 'sign-in' : id ? 'editor' : 'documents';
    if (editor) editor.close();
    editor = null;
    for (const name of ['sign-in', 'documents', 'editor']) $(name).hidden = name !== view;
    $('sign-out').hidden = view === 'sign-in';
    $('who').textContent = view === 'sign-in' ? '' : claims()?.name || claims()?.sub || '';
    document.title = 'Penstock';
    try {
        if (view === 'editor') editor = new Editor(id);
        if (view === 'documents') await showList(false);
    } catch (error) {
        tell(error.message);
    }
}

onSubmit('name-form', async () => {
    if (await signInByName($('name').value.trim())) return route();
    // Only a server started with --dev signs people in by name.
    $('name-form').hidden = true;
    $('token-form').hidden = false;
    $('token').focus();
    return undefined;
});
onSubmit('token-form', async () => {
    store.token = $('token').value.trim();
    if (!claims()) {
        store.removeItem('token');
        throw new Error('That is not a token.');
    }
    return route();
});
onSubmit('create-form', async () => {
    const doc = await call('POST', '/docs', { title: $('title').value.trim(), type: 'text' });
    $('title').value = '';
    location.hash = `doc=${encodeURIComponent(doc.id)}`;
});
onSubmit('share-form', async () => {
    const who = $('share-with').value.trim();
    const role = $('share-role').value;
    await call('PUT', docPath(editor.id, `/collaborators/${encodeURIComponent(who)}`), { role });
    $('share-with').value = '';
    tell(`${who} ${role === 'editor' ? 'can edit' : 'can read'} this text now. Send the address of this page.`);
});
$('list-more').addEventListener('click', () => showList(true).catch((error) => tell(error.message)));
$('sign-out').addEventListener('click', () => signOut(''));
window.addEventListener('hashchange', () => {
    tell('');
    route();
});
route();
