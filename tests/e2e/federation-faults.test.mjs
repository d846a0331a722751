// Every leg on the way to a credential, broken in every way: what the caller is told, what the log says, what nobody sees.
// Each case has a caller of its own, so that the slow ones fail at once and cost ten seconds in all.

import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { faults } from './support/internet.mjs';
import { CREDENTIALS, Federated } from './support/providers/index.mjs';
import { echo } from './support/upstream.mjs';

/** In everything that a provider says in these tests. */
const TEXT = 'canary-of-what-a-provider-said';

/** `[upstream, provider, leg]`: `account` has two. */
const LEGS = [
  ['anthropic', 'anthropic'], ['openai', 'openai'], ['azure', 'azure'], ['oauth', 'oauth'], ['aws', 'aws'],
  ['google', 'google', 'exchange'], ['account', 'google', 'exchange'], ['account', 'account', 'service_account'],
];

const EXPIRED = { access_token: TEXT, expires_in: 0, error_description: TEXT };
const expired = {
  account: { accessToken: TEXT, expireTime: '2026-01-01T00:00:00Z' },
  aws: { AssumeRoleWithWebIdentityResponse: { AssumeRoleWithWebIdentityResult: { Credentials: { AccessKeyId: 'A', SecretAccessKey: TEXT, SessionToken: TEXT, Expiration: Date.now() / 1000 } } } },
};

const big = Buffer.from(JSON.stringify({ access_token: TEXT, padding: 'x'.repeat(64 * 1024) }));

/** `[what, the fault, the log's reason, the status in the log, Retry-After]` */
const FAULTS = [
  ['no answer', () => faults.hang(), 'timed_out', undefined],
  ['a head and no body', () => faults.stall({ body: `{"${TEXT}"` }), 'timed_out', '200'],
  ['a body without an end, slowly', () => faults.drip({ body: `{"${TEXT}"` }), 'timed_out', '200'],
  ['a body without an end, fast', () => faults.endless(), 'too_large', '200'],
  ['a connection that closes', () => faults.reset(), 'network', undefined],
  ['a body that breaks off', () => faults.cut({ body: `{"${TEXT}"` }), 'interrupted', '200'],
  ['an answer that is too large', () => faults.answer({ body: big, headers: { 'content-type': 'application/json' } }), 'too_large', '200'],
  ['a refusal that is too large', () => faults.answer({ status: 400, body: big }), 'refused', '400'],
  ['500 and a text', () => faults.answer({ status: 500, body: TEXT }), 'refused', '500'],
  ['503 and a page', () => faults.answer({ status: 503, body: `<html>${TEXT}`, headers: { 'content-type': 'text/html' } }), 'refused', '503'],
  ['429 that says when', () => faults.answer({ status: 429, body: { message: TEXT }, headers: { 'retry-after': '17' } }), 'refused', '429', '17'],
  ['garbage', () => faults.answer({ body: `<html>${TEXT}` }), 'unreadable', '200'],
  ['nothing', () => faults.answer({}), 'unreadable', '200'],
  ['another document', () => faults.answer({ body: { [TEXT]: [] } }), 'unreadable', '200'],
  ['204', () => faults.answer({ status: 204 }), 'unreadable', '204'],
  ['a redirect', () => faults.redirect(`https://evil.example.com/${TEXT}`), 'refused', '302'],
  ['a redirect that keeps the body', () => faults.redirect(`https://evil.example.com/${TEXT}`, 307), 'refused', '307'],
  ['a credential that is expired at once', (provider) => faults.answer({ body: expired[provider] ?? EXPIRED }), 'expired', '200'],
];

/** Those that wait until the service gives up. */
const SLOW = FAULTS.slice(0, 3);

function deferred() {
  let resolve;
  const promise = new Promise((done) => { resolve = done; });
  return { promise, resolve };
}

describe('providers that fail', () => {
  let world;
  /** What becomes of each case, once it is known. */
  const outcomes = new Map(FAULTS.flatMap(([what]) => LEGS.map(([name, , leg]) => [`${what} ${name} ${leg}`, deferred()])));

  before(async () => {
    const kinds = Object.entries(CREDENTIALS).map(([name, own]) => {
      const [[kind, members]] = Object.entries(own);
      return [name, { credential: { [kind]: { ...members, identity: 'caller-subject' } } }];
    });
    const short = { credential: { oauth: { token_url: 'https://short.example.com/token', grant: 'jwt-bearer', encoding: 'json', audience: 'https://short.example.com' } } };
    const upstreams = { ...Object.fromEntries(kinds), storm: short, failing: short };
    world = await Federated.start(upstreams, (incoming, outgoing) => {
      const [, status, type] = /^\/says\/(\d+)\/?(.*)/.exec(incoming.url) ?? [];
      if (!status) return echo(incoming, outgoing);
      outgoing.writeHead(Number(status), { 'x-of': 'upstream', ...(type ? { 'x-amzn-errortype': type } : {}) }).end('theirs');
    }, (iss) => [{ issuer: iss, subject_pattern: 'repo:acme/.*' }]);
    // The slow ones at once, the others one after the other beside them.
    const [slow, fast] = [SLOW, FAULTS.slice(SLOW.length)];
    for (const fault of slow) breakEveryLeg(fault);
    (async () => {
      for (const fault of fast) await Promise.all(breakEveryLeg(fault));
    })();
  });
  after(async () => {
    try {
      await world?.assertNothingLeaked();
      const written = [...world.proxied.logs.map(({ message }) => message), ...(await world.proxied.stored()).flat()];
      for (const text of written) assert.ok(!text.includes(TEXT), text);
    } finally {
      await world?.stop();
    }
  });

  /** One request for each leg, which fails in this way. */
  function breakEveryLeg([what, fault]) {
    return LEGS.map(([name, provider, leg]) => {
      const who = caller(`${what.replaceAll(/\W/g, '-')}/${name}-${provider}`);
      world.providers[provider].faults.set(who.subject, fault(provider));
      const { resolve } = outcomes.get(`${what} ${name} ${leg}`);
      return outcome(name, who).then(resolve);
    });
  }

  /** A caller whom no isolate has a credential for. */
  function caller(name) {
    const sub = `repo:acme/${name}`;
    const subject = world.principal(sub);
    world.trust(subject);
    return { subject, claims: { sub, run_id: name } };
  }

  async function outcome(name, { subject, claims }) {
    try {
      const answer = await world.call(name, '/a', { claims });
      const text = await answer.text();
      return { status: answer.status, text, headers: [...answer.headers], retryAfter: answer.headers.get('retry-after'), subject };
    } catch (error) {
      return { error };
    }
  }

  async function bearer(name, claims) {
    const answer = await world.call(name, '/a', { claims });
    assert.equal(answer.status, 200, await answer.clone().text());
    return (await answer.json()).headers.authorization;
  }

  /** The same on a connection of its own: one that is kept and used again may just have been closed. */
  async function bearerAlone(name, claims) {
    const authorization = `Bearer ${await world.proxied.token(name, claims)}`;
    return new Promise((resolve, reject) => {
      const request = httpRequest(`${world.proxied.url}/proxy/${name}/a`, { agent: false, headers: { authorization } }, async (response) => {
        const chunks = [];
        for await (const chunk of response) chunks.push(chunk);
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(JSON.parse(text).headers.authorization);
        else reject(new Error(text));
      });
      request.on('error', reject).end();
    });
  }

  const linesOf = (subject) => world.proxied.lines().filter(({ message, sub }) => sub === subject && message?.startsWith('upstream '));

  for (const [what, , reason, status, retryAfter = '5'] of FAULTS) {
    test(`${what}: every leg is unavailable, and its line says ${reason}`, async () => {
      for (const [name, , leg] of LEGS) {
        const { error, subject, ...told } = await outcomes.get(`${what} ${name} ${leg}`).promise;
        assert.equal(error, undefined, name);
        assert.deepEqual([told.status, told.retryAfter], [503, retryAfter], `${name} ${leg} ${told.text}`);
        assert.equal(JSON.parse(told.text).message, "the upstream's credential is not available");
        assert.ok(!JSON.stringify(told).includes(TEXT), name);
        const [line, ...more] = linesOf(subject);
        assert.deepEqual(more, [], `${name}: one line`);
        assert.deepEqual([line.upstream, line.reason, line.status, line.leg, line.code], [name, reason, status, leg, undefined], JSON.stringify(line));
      }
    });
  }

  test('a redirect is followed by nobody', () => {
    assert.deepEqual(world.internet.strays, []);
    assert.equal(world.asked('evil.example.com'), 0);
  });

  test('every leg may take its time', async () => {
    const answers = LEGS.map(async ([name, provider]) => {
      const { subject, claims } = caller(`slow-${name}-${provider}`);
      world.providers[provider].delays.set(subject, 3000);
      return (await world.call(name, '/a', { claims })).status;
    });
    assert.deepEqual(await Promise.all(answers), LEGS.map(() => 200));
  });

  test('a failure is not remembered, and nobody else is told', async () => {
    const who = caller('once');
    world.providers.azure.faults.set(who.subject, faults.reset());
    assert.equal((await outcome('azure', who)).status, 503);
    const other = caller('other');
    await bearer('azure', other.claims);
    world.providers.azure.faults.delete(who.subject);
    await bearer('azure', who.claims);
    assert.deepEqual(world.providers.azure.asked.slice(-3), [who.subject, other.subject, who.subject]);
  });

  test('an upstream that refuses a credential costs one exchange in half a minute', async () => {
    for (const [name, path, asks] of [
      ['anthropic', '/says/401', 2], ['openai', '/says/401', 2], ['google', '/says/401', 2], ['account', '/says/401', 2], ['azure', '/says/401', 2], ['oauth', '/says/401', 2],
      ['aws', '/says/401', 2], ['aws', '/says/403/ExpiredTokenException', 2], ['aws', '/says/403/UnrecognizedClientException:http%3A', 2],
      ['aws', '/says/403/AccessDeniedException', 1], ['azure', '/says/403/ExpiredTokenException', 1], ['anthropic', '/says/403', 1],
    ]) {
      const { subject, claims } = caller(`forgets-${name}-${path.slice(6).replaceAll(/\W/g, '-')}`);
      for (let times = 0; times < 3; times += 1) {
        const answer = await world.call(name, path, { claims });
        assert.deepEqual([answer.status, answer.headers.get('x-of'), await answer.text()], [Number(path.slice(6, 9)), 'upstream', 'theirs'], 'as it is');
      }
      assert.equal(world.providers[name].asked.filter((sub) => sub === subject).length, asks, `${name} ${path}`);
    }
  });

  test('a storm at the moment of expiry makes one exchange, whether it is granted or not', async () => {
    const { short } = world.providers;
    const asked = (name) => short.asked.filter((sub) => sub === `upstream:${name}`).length;
    world.trust('upstream:storm', 'upstream:failing');
    // What lives 32 seconds is due after 16 and serves until almost 29.
    short.life = 32;
    const old = { storm: await bearer('storm'), failing: await bearer('failing') };
    await sleep(16_500);
    short.delays.set('upstream:storm', 500);
    short.faults.set('upstream:failing', faults.answer({ status: 500, body: TEXT }));
    for (const name of ['storm', 'failing']) {
      const all = Array.from({ length: 100 }, (_, index) => bearerAlone(name, { sub: 'repo:acme/app', run_id: `${name}-${index}` }));
      const served = new Set(await Promise.all(all));
      assert.ok(served.delete(old[name]), 'nobody waits for the new one');
      const fresh = short.exchanges.filter(({ claims }) => claims.sub === `upstream:${name}`).slice(1).map(({ granted }) => `Bearer ${granted.access_token}`);
      assert.deepEqual([...served].filter((bearer) => !fresh.includes(bearer)), [], 'who comes late may have it');
    }
    assert.deepEqual([asked('storm'), asked('failing')], [2, 2]);
    for (let tries = 0; (await bearer('storm')) === old.storm && tries < 100; tries += 1) await sleep(50);
    assert.notEqual(await bearer('storm'), old.storm);
    // The failure is not tried again for half a minute, and the old one serves on.
    assert.equal(await bearer('failing'), old.failing);
    assert.deepEqual([asked('storm'), asked('failing')], [2, 2]);
    assert.equal(linesOf('upstream:failing').length, 1);
  });
});
