/* Protocol section 4: JWTs. Keys of all four algorithms from every kind of file, and what must not pass. */
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Server, assertProblem, base64url, makeKeys, makeToken, nowS, run, tempDir } from './harness.mjs';

const home = tempDir();
const file = (name, data) => {
    const where = path.join(home, name);
    writeFileSync(where, data);
    return where;
};
const pem = (key) => key.export({ type: 'spki', format: 'pem' });
const keys = Object.fromEntries(Object.entries(makeKeys).map(([alg, make]) => [alg, { pem: make(), jwks: make() }]));
const jwk = (alg, more) => ({ ...keys[alg].jwks.publicKey.export({ format: 'jwk' }), ...more });
const oct = Buffer.alloc(40, 7);

const args = [];
for (const alg of Object.keys(keys)) args.push('--jwt-key', file(`${alg}.pem`, pem(keys[alg].pem.publicKey)));
args.push('--jwt-key', file('keys.jwks', JSON.stringify({ keys: [
    jwk('RS256', { kid: 'r1', alg: 'RS256', use: 'sig' }), jwk('ES256', { kid: 'e1' }), jwk('EdDSA', { kid: 'o1', use: 'sig', key_ops: ['verify'] }),
    { kty: 'EC', crv: 'secp256k1', x: 'AA', y: 'AA', kid: 'unknown-curve' }, { kty: 'future', kid: 'f' },
] })));

let server;
let strict;
before(async () => {
    server = await Server.start({ args });
    strict = await Server.start({ args: ['--jwt-issuer', 'https://issuer.example', '--jwt-audience', 'penstock'] });
});
after(async () => {
    await server.end();
    await strict.end();
});

const claims = (more) => ({ sub: 'ann', exp: nowS() + 600, ...more });
const ask = (token, at = server) => at.call('GET', '/docs', { token });
async function assertTaken(token, at = server) {
    const answer = await ask(token, at);
    assert.equal(answer.status, 200, answer.text);
}
async function assertRefused(token, at = server) {
    assertProblem(await ask(token, at), 401, 'unauthorized');
}

describe('a token is taken', () => {
    test('signed with HS256 by the secret of an .hs256 file', () => assertTaken(server.token('ann')));
    for (const alg of Object.keys(keys)) {
        test(`signed with ${alg} by the key of a PEM file`, () => assertTaken(makeToken(keys[alg].pem.privateKey, claims(), { alg })));
        test(`signed with ${alg} by a key of a JWKS file, with and without its kid`, async () => {
            const kid = { RS256: 'r1', ES256: 'e1', EdDSA: 'o1' }[alg];
            await assertTaken(makeToken(keys[alg].jwks.privateKey, claims(), { alg, header: { kid } }));
            await assertTaken(makeToken(keys[alg].jwks.privateKey, claims(), { alg }));
        });
    }
    test('with a fractional exp', () => assertTaken(server.token('ann', { exp: nowS() + 100.75 })));
    test('with exp in exponent form', () => assertTaken(makeToken(server.secret, `{"sub":"ann","exp":${(nowS() + 1000) / 1000}e3}`)));
    test('with nbf in the past, and within the leeway', async () => {
        await assertTaken(server.token('ann', { nbf: nowS() - 5 }));
        await assertTaken(server.token('ann', { nbf: nowS() + 3 }));
    });
    test('just expired, within the leeway', () => assertTaken(server.token('ann', { exp: nowS() - 2 })));
    test('with iss and aud that nobody configured', () => assertTaken(server.token('ann', { iss: 'x', aud: ['y'] })));
    test('with unknown claims of any shape', () => assertTaken(server.token('ann', { a: { b: [1, null, 'x'] }, jti: 'j', iat: 1.5 })));
    test('with escapes in its JSON', () => assertTaken(makeToken(server.secret, `{"s\\u0075b":"\\u0061nn","exp":${nowS() + 60}}`)));
    test('with a sub of 128 bytes', () => assertTaken(server.token('x'.repeat(128))));
    test('without typ, and with typ JWT in any case', async () => {
        await assertTaken(makeToken(server.secret, claims(), { header: { typ: undefined } }));
        await assertTaken(makeToken(server.secret, claims(), { header: { typ: 'jwt' } }));
    });
});

describe('what a token says is used', () => {
    test('sub, name, tenant and groups', async () => {
        const token = server.token('üser', { name: 'Ü', tenant: 'acme', groups: ['a', 'b'] });
        const doc = await server.ask('POST', '/docs', { token, body: {} });
        assert.equal(doc.owner_id, 'üser');
        assertProblem(await server.call('GET', `/docs/${doc.id}`, { as: 'üser' }), 404);
    });
});

describe('a token is refused', () => {
    const hs = () => makeToken(server.secret, claims());
    const hmac = (secret, input) => base64url(createHmac('sha256', secret).update(input).digest());
    const cases = {
        'that is none': () => 'x',
        'that is empty': () => '',
        'of two parts': () => hs().split('.').slice(0, 2).join('.'),
        'of four parts': () => `${hs()}.x`,
        'with an empty signature': () => `${hs().split('.').slice(0, 2).join('.')}.`,
        'with another signature': () => `${hs().slice(0, -4)}${hs().endsWith('AAAA') ? 'BBBB' : 'AAAA'}`,
        'with a signature cut short': () => hs().slice(0, -3),
        'with another payload': () => { const [h, , s] = hs().split('.'); return [h, base64url(JSON.stringify(claims({ sub: 'eve' }))), s].join('.'); },
        'with alg none': () => `${base64url('{"alg":"none"}')}.${base64url(JSON.stringify(claims()))}.`,
        'with alg None and a signature': () => makeToken(server.secret, claims(), { alg: 'None', signer: 'HS256' }),
        'with alg HS512': () => makeToken(server.secret, claims(), { alg: 'HS512', signer: 'HS256' }),
        'with alg hs256': () => makeToken(server.secret, claims(), { alg: 'hs256', signer: 'HS256' }),
        'without alg': () => makeToken(server.secret, claims(), { header: { alg: undefined } }),
        'with alg as a list': () => makeToken(server.secret, claims(), { alg: ['HS256'], signer: 'HS256' }),
        'HS256 keyed with the RSA public key\u2019s PEM': () => makeToken(pem(keys.RS256.pem.publicKey), claims()),
        'HS256 keyed with the RSA public key\u2019s DER': () => makeToken(keys.RS256.pem.publicKey.export({ type: 'spki', format: 'der' }), claims()),
        'HS256 keyed with the Ed25519 public key': () => makeToken(Buffer.from(jwk('EdDSA').x, 'base64url'), claims()),
        'HS256 keyed with nothing': () => makeToken('', claims()),
        'RS256 by a key of nobody\u2019s': () => makeToken(makeKeys.RS256().privateKey, claims(), { alg: 'RS256' }),
        'ES256 by a key of nobody\u2019s': () => makeToken(makeKeys.ES256().privateKey, claims(), { alg: 'ES256' }),
        'EdDSA by a key of nobody\u2019s': () => makeToken(makeKeys.EdDSA().privateKey, claims(), { alg: 'EdDSA' }),
        'ES256 with a signature of zeros': () => `${makeToken(keys.ES256.pem.privateKey, claims(), { alg: 'ES256' }).split('.').slice(0, 2).join('.')}.${base64url(Buffer.alloc(64))}`,
        'RS256 that is signed with EdDSA': () => makeToken(keys.EdDSA.pem.privateKey, claims(), { alg: 'RS256', signer: 'EdDSA' }),
        'with another key\u2019s kid': () => makeToken(keys.RS256.jwks.privateKey, claims(), { alg: 'RS256', header: { kid: 'e1' } }),
        'with its own key in the header': () => { const own = makeKeys.ES256(); return makeToken(own.privateKey, claims(), { alg: 'ES256', header: { jwk: own.publicKey.export({ format: 'jwk' }) } }); },
        'with an unknown crit': () => makeToken(server.secret, claims(), { header: { crit: ['b64'], b64: false } }),
        'with a duplicate alg': () => { const head = base64url('{"alg":"HS256","alg":"HS256"}'); const input = `${head}.${base64url(JSON.stringify(claims()))}`; return `${input}.${hmac(server.secret, input)}`; },
        'whose header is an array': () => { const input = `${base64url('["HS256"]')}.${base64url(JSON.stringify(claims()))}`; return `${input}.${hmac(server.secret, input)}`; },
        'with padding': () => { const [h, p] = hs().split('.'); const input = `${h}=.${p}`; return `${input}.${hmac(server.secret, input)}`; },
        'in plain base64 with + and /': () => { const p = Buffer.from(JSON.stringify(claims({ x: '\u{1f600}???>>>' }))).toString('base64').replace(/=+$/, ''); const input = `${hs().split('.')[0]}.${p.includes('/') || p.includes('+') ? p : `${p}+/`}`; return `${input}.${hmac(server.secret, input)}`; },
        'of more than 16 KB': () => server.token('ann', { x: 'y'.repeat(12500) }),
        'whose payload is no JSON': () => makeToken(server.secret, 'x'),
        'whose payload is an array': () => makeToken(server.secret, '[]'),
        'whose payload is not UTF-8': () => { const input = `${hs().split('.')[0]}.${base64url(Buffer.concat([Buffer.from(`{"exp":${nowS() + 60},"sub":"`), Buffer.from([0xff]), Buffer.from('"}')]))}`; return `${input}.${hmac(server.secret, input)}`; },
        'without sub': () => makeToken(server.secret, { exp: nowS() + 60 }),
        'with an empty sub': () => server.token(''),
        'with a sub of 129 bytes': () => server.token('x'.repeat(129)),
        'with a sub that is a number': () => makeToken(server.secret, claims({ sub: 7 })),
        'with a sub that begins with group:': () => server.token('group:team'),
        'with a sub that has a NUL': () => server.token('a\u0000b'),
        'without exp': () => makeToken(server.secret, { sub: 'ann' }),
        'that is expired': () => server.token('ann', { exp: nowS() - 100 }),
        'with exp as a string': () => server.token('ann', { exp: String(nowS() + 60) }),
        'with a negative exp': () => server.token('ann', { exp: -1 }),
        'with exp null': () => server.token('ann', { exp: null }),
        'with exp true': () => server.token('ann', { exp: true }),
        'with an exp that no number holds': () => makeToken(server.secret, '{"sub":"ann","exp":1e400}'),
        'with exp twice': () => makeToken(server.secret, `{"sub":"ann","exp":${nowS() + 60},"exp":${nowS() + 60}}`),
        'with sub twice': () => makeToken(server.secret, `{"sub":"ann","sub":"ann","exp":${nowS() + 60}}`),
        'with sub twice, once escaped': () => makeToken(server.secret, `{"sub":"ann","s\\u0075b":"eve","exp":${nowS() + 60}}`),
        'with an unknown claim twice': () => makeToken(server.secret, `{"sub":"ann","x":1,"x":1,"exp":${nowS() + 60}}`),
        'with nbf in the future': () => server.token('ann', { nbf: nowS() + 100 }),
        'with nbf as a string': () => server.token('ann', { nbf: 'now' }),
        'with a name that is a number': () => server.token('ann', { name: 7 }),
        'with a tenant that is a number': () => server.token('ann', { tenant: 7 }),
        'with a tenant over 128 bytes': () => server.token('ann', { tenant: 'x'.repeat(129) }),
        'with groups that is a string': () => server.token('ann', { groups: 'team' }),
        'with a group that is a number': () => server.token('ann', { groups: ['a', 7] }),
    };
    for (const [name, make] of Object.entries(cases)) test(name, () => assertRefused(make()));
});

describe('issuer and audience, where configured', () => {
    const good = { iss: 'https://issuer.example', aud: 'penstock' };
    test('are compared; an audience may be a list', async () => {
        await assertTaken(strict.token('ann', good), strict);
        await assertTaken(strict.token('ann', { ...good, aud: ['other', 'penstock'] }), strict);
    });
    for (const [name, wrong] of Object.entries({
        'another iss': { iss: 'https://issuer.example/' }, 'no iss': { iss: undefined }, 'an iss list': { iss: ['https://issuer.example'] },
        'another aud': { aud: 'pen' }, 'no aud': { aud: undefined }, 'an empty aud list': { aud: [] }, 'an aud that is a number': { aud: 7 },
    })) {
        test(`${name} is refused`, () => assertRefused(strict.token('ann', { ...good, ...wrong }), strict));
    }
});

describe('a key file', () => {
    const refusedFiles = {
        'that is not there': () => path.join(home, 'nothing.pem'),
        'with a secret under 32 bytes': () => file('short.hs256', Buffer.alloc(31, 1)),
        'that is no PEM and no JWKS': () => file('text.pem', 'hello'),
        'with a PEM cut short': () => file('cut.pem', pem(keys.RS256.pem.publicKey).slice(0, 120)),
        'with a JWKS that holds no usable key': () => file('none.jwks', '{"keys":[{"kty":"future"}]}'),
        'with broken JSON': () => file('broken.jwks', '{"keys":['),
        'with a curve that no algorithm names': () => file('p384.pem', pem(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey)),
        'with an RSA key under 2048 bits': () => file('small.pem', pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)),
    };
    for (const [name, make] of Object.entries(refusedFiles)) {
        test(`${name} ends the program with one clear line`, async () => {
            const end = await run(['serve', '--data', path.join(tempDir(), 'd'), '--listen', '127.0.0.1:0', '--jwt-key', make()]);
            assert.ok(end.code === 1 || end.code === 2, `${end.code}`);
            assert.equal(end.stderr.trim().split('\n').length, 1, end.stderr);
            assert.equal(end.stdout, '');
        });
    }

    test('a secret of exactly 32 bytes, binary ones too, is taken; an oct key of a JWKS likewise', async () => {
        const jwks = file('oct.jwks', JSON.stringify({ keys: [{ kty: 'oct', alg: 'HS256', k: base64url(oct) }] }));
        const own = await Server.start({ secret: Buffer.from(Array.from({ length: 32 }, (_, i) => i * 8)), args: ['--jwt-key', jwks] });
        await assertTaken(own.token('ann'), own);
        await assertTaken(makeToken(oct, claims()), own);
        await own.end();
    });
});

describe('penstock token', () => {
    test('makes a token that the server takes, with the claims asked for', async () => {
        const end = await run(['token', '--jwt-key', server.secretPath, '--sub', 'cli', '--name', 'C. Li', '--group', 'a', '--group', 'b', '--tenant', 't', '--ttl', '120']);
        assert.equal(end.code, 0, end.stderr);
        const token = end.stdout.trim();
        await assertTaken(token);
        const payload = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
        assert.deepEqual([payload.sub, payload.name, payload.groups, payload.tenant], ['cli', 'C. Li', ['a', 'b'], 't']);
        assert.ok(Math.abs(payload.exp - nowS() - 120) < 10);
    });

    for (const alg of Object.keys(keys)) {
        test(`signs with a private ${alg} key too`, async () => {
            const key = file(`${alg}-private.pem`, keys[alg].pem.privateKey.export({ type: 'pkcs8', format: 'pem' }));
            const end = await run(['token', '--jwt-key', key, '--sub', 'cli']);
            assert.equal(end.code, 0, end.stderr);
            await assertTaken(end.stdout.trim());
        });
    }

    test('refuses to make one without --sub or key, with 2, and with a bad sub', async () => {
        assert.equal((await run(['token', '--jwt-key', server.secretPath])).code, 2);
        assert.equal((await run(['token', '--sub', 'x'])).code, 2);
        assert.notEqual((await run(['token', '--jwt-key', server.secretPath, '--sub', 'group:x'])).code, 0);
    });
});
