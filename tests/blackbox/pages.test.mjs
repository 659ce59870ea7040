/* Health, metrics, the page itself and its sign-in (protocol section 4, design section 13). */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { REPO, Server, assertProblem } from './harness.mjs';

let server;
let plain;
before(async () => {
    server = await Server.start({ dev: true });
    plain = await Server.start();
});
after(async () => {
    await server.end();
    await plain.end();
});

describe('without a token', () => {
    test('/healthz and /readyz answer 200', async () => {
        for (const page of ['/healthz', '/readyz']) assert.equal((await plain.call('GET', page)).status, 200);
    });

    test('/metrics is in Prometheus\u2019 text format and counts what happens', async () => {
        const value = async () => {
            const answer = await plain.call('GET', '/metrics');
            assert.equal(answer.status, 200);
            assert.match(answer.headers['content-type'], /^text\/plain; ?version=0\.0\.4/);
            const samples = new Map();
            for (const line of answer.text.split('\n').filter(Boolean)) {
                if (line.startsWith('#')) {
                    assert.match(line, /^# (HELP [a-zA-Z_:][a-zA-Z0-9_:]* .*|TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (counter|gauge|histogram|summary|untyped))$/);
                    continue;
                }
                const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{[^}]*\})?) ([-+0-9.eEinfNa]+)$/.exec(line);
                assert.ok(sample, line);
                assert.ok(!samples.has(sample[1]), `${sample[1]} twice`);
                samples.set(sample[1], Number(sample[2]));
            }
            assert.match(answer.text, /\n$/);
            return samples;
        };
        const was = await value();
        const { id } = await plain.createDoc('ann');
        for (let version = 0; version < 10; version++) {
            await plain.ask('POST', `/docs/${id}/ops`, { as: 'ann', body: { ops: [{ type: 'insert', pos: 0, str: 'x', version }] } });
        }
        const is = await value();
        const grown = [...is].filter(([name, n]) => /op/.test(name) && n - (was.get(name) || 0) >= 10);
        assert.ok(grown.length > 0, `no counter of ops grew by 10: ${[...is.keys()].join(' ')}`);
    });
});

describe('the page', () => {
    const types = { '/': 'text/html', '/style.css': 'text/css', '/app.js': 'text/javascript', '/client.js': 'text/javascript', '/text.js': 'text/javascript' };
    for (const [name, type] of Object.entries(types)) {
        test(`${name} is served as ${type}, as it is in the repository`, async () => {
            const answer = await plain.call('GET', name);
            assert.equal(answer.status, 200);
            assert.ok(answer.headers['content-type'].startsWith(type), answer.headers['content-type']);
            assert.equal(answer.headers['x-content-type-options'], 'nosniff');
            assert.equal(answer.text, readFileSync(path.join(REPO, 'gateway/web', name === '/' ? 'index.html' : name), 'utf8'));
        });
    }

    test('has a Content-Security-Policy that lets no inline script run', async () => {
        const { headers } = await plain.call('GET', '/');
        const policy = headers['content-security-policy'];
        assert.ok(policy, 'there is none');
        assert.match(policy, /default-src '(none|self)'/);
        assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval|\*/);
    });

    test('carries nothing inline that the policy would stop', () => {
        const html = readFileSync(path.join(REPO, 'gateway/web/index.html'), 'utf8');
        assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=|<style/);
    });
});

describe('POST /dev/token', () => {
    const sign = (at, body, headers) => at.call('POST', '/dev/token', { body, headers });

    test('gives a --dev server\u2019s token for a name, which works', async () => {
        const answer = await sign(server, { sub: 'zoë', name: 'Zoë' });
        assert.ok([200, 201].includes(answer.status), answer.text);
        const { token } = answer.json;
        const payload = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
        assert.equal(payload.sub, 'zoë');
        assert.equal(payload.name, 'Zoë');
        const doc = await server.ask('POST', '/docs', { token, body: {} });
        assert.equal(doc.owner_id, 'zoë');
    });

    test('refuses what is no name', async () => {
        for (const body of ['', '{', '[]', {}, { sub: '' }, { sub: 7 }, { sub: 'group:x' }, { sub: 'x'.repeat(129) }]) {
            const answer = await sign(server, body);
            assert.ok(answer.status >= 400 && answer.status < 500, `${JSON.stringify(body)}: ${answer.status}`);
        }
    });

    test('is given to no foreign page', async () => {
        const answer = await sign(server, { sub: 'eve' }, { origin: 'https://evil.example' });
        assert.equal(answer.status, 403);
        assert.equal(answer.headers['access-control-allow-origin'], undefined);
    });

    test('is not there without --dev', async () => {
        assertProblem(await sign(plain, { sub: 'eve' }), 404);
    });

    test('its secret is readable to its owner alone, and stays over restarts', async () => {
        const secrets = readdirSync(server.dir).filter((name) => name.endsWith('.hs256'));
        assert.equal(secrets.length, 1, `${readdirSync(server.dir)}`);
        assert.equal(statSync(path.join(server.dir, secrets[0])).mode & 0o077, 0);
        const { token } = (await sign(server, { sub: 'ann' })).json;
        await server.stop();
        await server.restart();
        assert.equal((await server.call('GET', '/docs', { token })).status, 200);
    });
});
