/*
 * client.js - a client of Penstock's protocol for `text` documents, without a DOM.
 *
 * It keeps the text as the user sees it (`content`), what the server has at `version`, and in between
 * at most two operations: `pending` (sent, not answered) and `buffer` (typed since, composed into one).
 * So one message is in flight, and each local edit is carried past what others did exactly as protocol
 * section 2 says: P' = S.transform(P, true), S' = P.transform(S, false).
 *
 * Always holds: content == apply(apply(server text at version, pending), buffer).
 */
import { apply, compose, fromWire, movePosition, positionBefore, toWire, transform } from './text.js';

const RECENT_OPS_MAX = 256;
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 15000;
const PING_MS = 20000;
const PRESENCE_MS = 60;

/** Close codes after which coming back by itself makes no sense, and what to tell. */
const FINAL_CLOSES = {
    4403: 'Your access to this document was withdrawn.',
    4404: 'This document was deleted.',
    4409: 'This document was opened elsewhere with this tab\u2019s identity.',
};

const nothing = () => {};

/**
 * options:
 *   docId, clientId
 *   openSocket(query) -> a WebSocket (or promise of one) for /ws/docs/{docId}?query, with its token
 *   probe() -> promise of the HTTP status of GET /docs/{docId}: why a handshake failed (optional)
 *   onState(), onContent(text), onRemote(op), onPresence(), onTitle(title), onNotice(text)
 */
export class TextClient {
    constructor(options) {
        this.options = {
            probe: async () => 0, onState: nothing, onContent: nothing, onRemote: nothing,
            onPresence: nothing, onTitle: nothing, onNotice: nothing, onMessage: nothing,
            ...options,
        };
        this.clientId = options.clientId;
        this.content = '';
        this.version = -1; // -1: nothing was received yet
        this.hash = null; // of the history up to hashVersion
        this.hashVersion = -1;
        this.lastSeq = 0;
        this.pending = null; // { op, seq }
        this.buffer = null;
        this.peers = new Map(); // client_id -> { userId, name, pos, selection }, on the text at `version`
        this.recent = []; // the newest operations, the last one made `version`
        this.state = 'closed'; // closed | connecting | syncing | live | waiting | stopped
        this.role = null;
        this.reason = '';
        this.attempt = 0;
        this.socket = null;
        this.timers = {};
        this.cursor = null;
        this.cursorShown = null;
    }

    get isSaved() {
        return !this.pending && !this.buffer;
    }

    get canEdit() {
        return this.version >= 0 && (this.role === 'owner' || this.role === 'editor');
    }

    // --- what the user does ---

    open() {
        this.attempt = 0;
        this.#connect();
    }

    close() {
        this.#drop();
        this.#setState('closed');
    }

    /** A local edit: an operation on `content`. */
    edit(op) {
        if (op.length === 0) return;
        this.content = apply(this.content, op);
        this.buffer = this.buffer ? compose(this.buffer, op) : op;
        this.#flush();
    }

    /** The user's cursor, on `content`; selection [anchor, head] or null. */
    setCursor(pos, selection = null) {
        this.cursor = { pos, selection };
        if (!this.timers.presence) this.#after('presence', PRESENCE_MS, () => this.#sendCursor());
    }

    /** A fresh token for the open connection. */
    renew(token) {
        this.#send({ type: 'auth', token });
    }

    /** Everybody else's cursors, carried to `content`. */
    cursors() {
        const ahead = [this.pending && this.pending.op, this.buffer].filter(Boolean);
        const move = (pos) => ahead.reduce((at, op) => movePosition(op, at, true), pos);
        return [...this.peers].map(([clientId, peer]) => ({
            clientId, userId: peer.userId, name: peer.name, pos: move(peer.pos),
            selection: peer.selection && peer.selection.map(move),
        }));
    }

    // --- the connection ---

    async #connect() {
        this.#drop();
        this.#setState('connecting');
        const query = new URLSearchParams({ client_id: this.clientId });
        if (this.version >= 0) {
            query.set('version', this.version);
            if (this.hashVersion === this.version) query.set('history_hash', this.hash);
        }
        const turn = (this.turn = {});
        let socket;
        try {
            socket = await this.options.openSocket(query.toString());
        } catch (error) {
            if (turn === this.turn) this.#stop(String(error.message || error));
            return;
        }
        if (turn !== this.turn) {
            socket.close();
            return;
        }
        this.socket = socket;
        this.goodbyeMs = null;
        socket.onmessage = (event) => socket === this.socket && this.#receive(event.data);
        socket.onclose = (event) => socket === this.socket && this.#closed(event.code);
        socket.onerror = nothing; // a close follows
    }

    #drop() {
        this.turn = null;
        for (const name of Object.keys(this.timers)) this.#cancel(name);
        const socket = this.socket;
        this.socket = null;
        if (socket) socket.close();
    }

    async #closed(code) {
        const wasUp = this.state === 'live' || this.state === 'syncing';
        this.#drop();
        if (FINAL_CLOSES[code]) return this.#stop(FINAL_CLOSES[code]);
        if (code === 1009) return this.#startOver('That was too much at once: it was taken back.');
        if (!wasUp || code === 4401) {
            this.#setState('waiting');
            const turn = (this.turn = {});
            const status = await this.options.probe().catch(() => 0);
            if (turn !== this.turn) return undefined;
            if (status === 401) return this.#stop('Please sign in again.');
            if (status === 404 || status === 403) return this.#stop('There is no such document for you.');
            if (status === 410) return this.#stop(FINAL_CLOSES[4404]);
        }
        return this.#retry(this.goodbyeMs);
    }

    #retry(afterMs) {
        this.#drop();
        const backoff = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** this.attempt++);
        const ms = afterMs ?? backoff * (0.5 + Math.random() / 2);
        this.retryAt = Date.now() + ms;
        this.#setState('waiting');
        this.#after('retry', ms, () => this.#connect());
    }

    #stop(reason) {
        this.#drop();
        this.reason = reason;
        this.#setState('stopped');
    }

    /** The server does not take what we have: start from its text. */
    #startOver(notice) {
        this.version = -1;
        this.pending = null;
        this.buffer = null;
        this.options.onNotice(notice);
        this.#connect();
    }

    #send(message) {
        if (this.socket && this.socket.readyState === 1) this.socket.send(JSON.stringify(message));
    }

    #receive(data) {
        this.#watch();
        const message = JSON.parse(data);
        this.options.onMessage(message);
        switch (message.type) {
        case 'welcome': return this.#welcome(message);
        case 'synced': return this.#synced(message);
        case 'op': return this.#accepted(fromWire(message.op), message);
        case 'ack': return this.#acked(message);
        case 'error': return this.#refused(message);
        case 'presence_update': return this.#peerMoved(message);
        case 'presence_leave': return this.#peerLeft(message);
        case 'goodbye':
            this.goodbyeMs = message.retry_after_ms;
            return undefined;
        case 'access':
            this.role = message.role;
            return this.options.onState();
        case 'title': return this.options.onTitle(message.title);
        default: return undefined; // pong, auth_ok, and what later versions add
        }
    }

    // --- what the server says ---

    #welcome(message) {
        this.role = message.role;
        this.lastSeq = message.last_seq;
        this.attempt = 0;
        this.peers.clear();
        for (const entry of message.presence) this.#peerMoved(entry);
        if (message.content === undefined) return this.#setState('syncing'); // ops follow, then `synced`
        if (message.doc_type !== 'text') return this.#stop('This page edits plain text only.');
        const lost = !this.isSaved;
        this.content = message.content;
        this.version = message.version;
        this.pending = null;
        this.buffer = null;
        this.recent = [];
        if (lost) this.options.onNotice('The server\u2019s history is another one: edits that it never had are gone.');
        this.options.onContent(this.content);
        return this.#live(message);
    }

    #synced(message) {
        const unanswered = this.pending; // it was not among the ops that came: never accepted
        this.#live(message);
        if (unanswered) this.#sendPending();
    }

    #live(message) {
        this.hash = message.history_hash;
        this.hashVersion = message.version;
        this.cursorShown = null;
        this.#setState('live');
        this.#flush();
        if (this.cursor) this.setCursor(this.cursor.pos, this.cursor.selection);
        this.options.onPresence();
    }

    /** An op of the document's order: somebody else's, or after a reconnect perhaps our own pending one. */
    #accepted(op, message) {
        if (message.new_version !== this.version + 1) {
            return this.#startOver('The connection lost something; the text was read afresh.');
        }
        if (message.op.client_id === this.clientId && this.pending && message.op.seq === this.pending.seq) {
            return this.#acked({ seq: message.op.seq, new_version: message.new_version });
        }
        this.#advance(op, message.new_version);
        let theirs = op;
        for (const own of ['pending', 'buffer']) {
            const mine = own === 'pending' ? this.pending && this.pending.op : this.buffer;
            if (!mine) continue;
            const carried = transform(theirs, mine, true);
            theirs = transform(mine, theirs, false);
            if (own === 'pending') this.pending.op = carried;
            else this.buffer = carried;
        }
        this.content = apply(this.content, theirs);
        if (this.cursor) {
            const move = (pos) => movePosition(theirs, pos, true);
            const { pos, selection } = this.cursor;
            this.cursor = { pos: move(pos), selection: selection && selection.map(move) };
        }
        this.options.onRemote(theirs);
        return this.options.onState();
    }

    #acked(message) {
        if (!this.pending || message.seq !== this.pending.seq) return;
        this.lastSeq = message.seq;
        this.#advance(this.pending.op, message.new_version ?? this.version + 1);
        this.pending = null;
        this.#flush();
        this.options.onState();
    }

    #refused(message) {
        const ours = this.pending && message.seq === this.pending.seq;
        const afterMs = message.retry_after_ms ?? 1000;
        if (message.retry && ours) {
            this.#after('resend', afterMs, () => this.pending && this.#sendPending());
        } else if (message.retry && this.pending && message.seq === undefined) {
            this.#retry(afterMs); // nobody knows whether it meant our op: a new connection tells
        } else if (ours) {
            this.#startOver(`The server refused an edit: ${message.message}`);
        } else if (!message.retry) {
            this.options.onNotice(message.message);
        }
    }

    /** The server's text went one version on. */
    #advance(op, version) {
        this.version = version;
        this.recent.push({ version, op });
        if (this.recent.length > RECENT_OPS_MAX) this.recent.shift();
        for (const peer of this.peers.values()) {
            peer.pos = movePosition(op, peer.pos);
            if (peer.selection) peer.selection = peer.selection.map((pos) => movePosition(op, pos));
        }
    }

    #peerMoved(message) {
        if (message.client_id === this.clientId) return;
        const newer = this.recent.filter(({ version }) => version > message.version);
        const move = (pos) => newer.reduce((at, { op }) => movePosition(op, at), pos);
        this.peers.set(message.client_id, {
            userId: message.user_id, name: message.name || message.user_id,
            pos: move(message.cursor_pos), selection: message.selection && message.selection.map(move),
        });
        this.options.onPresence();
    }

    #peerLeft(message) {
        this.peers.delete(message.client_id);
        this.options.onPresence();
    }

    // --- what we send ---

    #flush() {
        if (this.state !== 'live' || this.pending || !this.buffer) return this.options.onState();
        const op = this.buffer;
        this.buffer = null;
        if (op.length > 0) {
            this.pending = { op, seq: this.lastSeq + 1 };
            this.#sendPending();
        }
        return this.options.onState();
    }

    #sendPending() {
        const { op, seq } = this.pending;
        this.#send({ type: 'op', op: { ...toWire(op), client_id: this.clientId, seq, version: this.version } });
    }

    #sendCursor() {
        if (this.state !== 'live' || !this.cursor) return;
        // The server knows the text at `version`: take the position back past what it has not answered yet.
        const back = (pos) => {
            const typed = this.buffer ? positionBefore(this.buffer, pos) : pos;
            return this.pending ? positionBefore(this.pending.op, typed) : typed;
        };
        const { pos, selection } = this.cursor;
        const shown = { cursor_pos: back(pos), selection: selection && selection.map(back) };
        const update = { type: 'presence_update', ...shown, version: this.version };
        const text = JSON.stringify(update);
        if (text === this.cursorShown) return;
        this.cursorShown = text;
        this.#send(update);
    }

    // --- time ---

    /** A connection that says nothing for a while is asked, and then given up. */
    #watch() {
        this.#after('ping', PING_MS, () => {
            this.#send({ type: 'ping' });
            this.#after('ping', PING_MS / 2, () => this.#closed(1006));
        });
    }

    #after(name, ms, then) {
        this.#cancel(name);
        this.timers[name] = setTimeout(() => {
            delete this.timers[name];
            then();
        }, ms);
    }

    #cancel(name) {
        clearTimeout(this.timers[name]);
        delete this.timers[name];
    }

    #setState(state) {
        this.state = state;
        if (state !== 'stopped') this.reason = '';
        this.options.onState();
    }
}
