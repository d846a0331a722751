// Every algorithm of the closed list, through Web Crypto in the real runtime, with tokens that others signed: accepted
// unchanged; refused with one bit changed, with another key, and with another algorithm's name.

import assert from 'node:assert/strict';
import { constants, generateKeyPairSync, sign } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { actionsClaims } from './support/issuers.mjs';
import { policyPath, World } from './support/world.mjs';

const ISSUER = 'https://keys.example.net';

const rsa = (bits) => generateKeyPairSync('rsa', { modulusLength: bits });
const ec = (namedCurve) => generateKeyPairSync('ec', { namedCurve });
const pkcs1 = (hash) => (data, key) => sign(hash, data, key);
const pss = (hash, saltLength) => (data, key) =>
  sign(hash, data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
const ecdsa = (hash) => (data, key) => sign(hash, data, { key, dsaEncoding: 'ieee-p1363' });

const CASES = [
  ...[2048, 3072, 4096].flatMap((bits) => [
    { alg: 'RS256', pair: rsa(bits), signer: pkcs1('sha256'), name: `RSA of ${bits} bits` },
    { alg: 'PS256', pair: rsa(bits), signer: pss('sha256', 32), name: `RSA of ${bits} bits` },
  ]),
  { alg: 'RS384', pair: rsa(2048), signer: pkcs1('sha384'), name: 'RSA' },
  { alg: 'RS512', pair: rsa(2048), signer: pkcs1('sha512'), name: 'RSA' },
  { alg: 'PS384', pair: rsa(2048), signer: pss('sha384', 48), name: 'RSA' },
  { alg: 'PS512', pair: rsa(2048), signer: pss('sha512', 64), name: 'RSA' },
  { alg: 'ES256', pair: ec('P-256'), signer: ecdsa('sha256'), name: 'P-256' },
  { alg: 'ES384', pair: ec('P-384'), signer: ecdsa('sha384'), name: 'P-384' },
  { alg: 'EdDSA', pair: generateKeyPairSync('ed25519'), signer: (data, key) => sign(null, data, key), name: 'Ed25519' },
].map((one, index) => ({ ...one, kid: `key-${index}` }));

/** Wrongly signed: each must be refused although the mathematics is right. */
const WEAK = [
  { alg: 'RS256', pair: rsa(1024), signer: pkcs1('sha256'), name: 'RSA of 1024 bits', kid: 'short' },
  { alg: 'ES512', pair: ec('P-521'), signer: ecdsa('sha512'), name: 'P-521', kid: 'p521' },
  { alg: 'ES256', pair: ec('secp256k1'), signer: ecdsa('sha256'), name: 'secp256k1', kid: 'k1' },
  { alg: 'PS256', pair: CASES[0].pair, signer: pss('sha256', 20), name: 'a salt of 20 bytes', kid: 'salt' },
  { alg: 'RS256', pair: CASES[1].pair, signer: pkcs1('sha1'), name: 'SHA-1', kid: 'sha1' },
];

const part = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

function tokenOf({ alg, kid, pair, signer }, { header = {}, claims = {} } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const payload = { iss: ISSUER, iat: now, exp: now + 300, ...actionsClaims(), ...claims };
  const input = `${part({ alg, kid, ...header })}.${part(payload)}`;
  return `${input}.${signer(Buffer.from(input), pair.privateKey).toString('base64url')}`;
}

describe('signatures', () => {
  let world;

  before(async () => {
    world = await World.start();
    const keys = [...CASES, ...WEAK].map(({ pair, kid }) => ({ ...pair.publicKey.export({ format: 'jwk' }), kid }));
    world.internet.host(new URL(ISSUER).host, (incoming, outgoing) => {
      const discovery = { issuer: ISSUER, jwks_uri: `${ISSUER}/keys` };
      outgoing.writeHead(200, { 'content-type': 'application/json' });
      outgoing.end(JSON.stringify(incoming.url === '/keys' ? { keys } : discovery));
    });
    const policy = `issuer: ${ISSUER}\nsubject: repo:acme/app:ref:refs/heads/main\npermissions:\n  contents: read\n`;
    await world.github.commit('acme/app', policyPath('signed'), policy);
  });
  after(() => world?.stop());

  const exchange = (token) => {
    world.canary(token);
    return world.exchange({ identity: 'signed', token });
  };
  const assertRefused = async (token) => {
    const { status, body } = await exchange(token);
    assert.equal(status, 401, JSON.stringify(body));
    assert.equal(body.error, 'invalid_token');
  };

  for (const one of CASES) {
    test(`${one.alg} with ${one.name} is accepted as it is and refused when changed`, async () => {
      const token = tokenOf(one);
      const [header, claims, signature] = token.split('.');
      assert.equal((await exchange(token)).status, 200);

      const bytes = Buffer.from(signature, 'base64url');
      for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
        const changed = Buffer.from(bytes);
        changed[at] ^= 1;
        await assertRefused(`${header}.${claims}.${changed.toString('base64url')}`);
      }
      const payload = JSON.parse(Buffer.from(claims, 'base64url'));
      await assertRefused(`${header}.${part({ ...payload, extra: true })}.${signature}`);
      await assertRefused(`${header}.${claims}.`);
      await assertRefused(`${header}.${claims}.${bytes.subarray(1).toString('base64url')}`);
      await assertRefused(`${header}.${claims}.${Buffer.concat([bytes, Buffer.alloc(1)]).toString('base64url')}`);
      await assertRefused(`${header}.${claims}.${Buffer.alloc(bytes.length).toString('base64url')}`);
    });

    test(`${one.alg} with ${one.name} is refused under another name or another key`, async () => {
      for (const alg of ['none', 'HS256', 'RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'].filter((alg) => alg !== one.alg)) {
        await assertRefused(tokenOf(one, { header: { alg } }));
      }
      for (const { kid } of CASES.filter(({ kid }) => kid !== one.kid).slice(0, 4)) {
        await assertRefused(tokenOf(one, { header: { kid } }));
      }
    });
  }

  for (const weak of WEAK) {
    test(`${weak.alg} with ${weak.name} is refused`, () => assertRefused(tokenOf(weak)));
  }

  test('an ECDSA signature in DER is refused', async () => {
    const one = CASES.find(({ alg }) => alg === 'ES256');
    await assertRefused(tokenOf({ ...one, signer: (data, key) => sign('sha256', data, key) }));
  });

  test('a key in the header is ignored', async () => {
    const { publicKey, privateKey } = rsa(2048);
    const forged = { alg: 'RS256', kid: CASES[0].kid, pair: { publicKey, privateKey }, signer: pkcs1('sha256') };
    const jwk = publicKey.export({ format: 'jwk' });
    await assertRefused(tokenOf(forged, { header: { jwk } }));
    await assertRefused(tokenOf(forged, { header: { jku: 'https://evil.example.org/keys' } }));
    await assertRefused(tokenOf(forged, { header: { kid: undefined, jwk } }));
  });
});
