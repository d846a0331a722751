// What providers refuse, each documented error once: the caller is told one sentence, the log has the provider's code and
// what we signed, and nothing is tried again that is not temporary. Then clocks that are off, and keys that change.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { importPKCS8, SignJWT } from 'jose';

import { awsErrors } from './support/providers/aws.mjs';
import { notKnownYet } from './support/providers/azure.mjs';
import { quota } from './support/providers/google.mjs';
import { Federated, credential, CREDENTIALS, signingKey } from './support/providers/index.mjs';
import { oauthErrors } from './support/providers/oauth.mjs';
import { echo } from './support/upstream.mjs';
import { DOMAIN } from './support/worker.mjs';

const ALLOW = (iss) => [{ issuer: iss, subject_pattern: 'repo:acme/.*' }];

/** Of which kind a name's credential is, and which of its legs a refusal comes from. */
const KINDS = { anthropic: 'anthropic', openai: 'openai', google: 'google', account: 'google', azure: 'azure', aws: 'aws', oauth: 'oauth' };

/** What an operator sets wrong at our side: one upstream for each. */
const MISTAKES = {
  'anthropic-rule': credential('anthropic', { federation_rule_id: 'fdrl_other' }),
  'anthropic-malformed': credential('anthropic', { federation_rule_id: 'rule' }),
  'anthropic-workspace': credential('anthropic', { workspace_id: 'mine' }),
  'anthropic-audience': credential('anthropic', { audience: 'https://api.anthropic.com/' }),
  'openai-provider': credential('openai', { identity_provider_id: 'idp_other' }),
  'openai-account': credential('openai', { service_account_id: 'sa_other' }),
  'openai-audience': credential('openai', { audience: 'https://openai.example.com/' }),
  'google-provider': credential('google', { audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/other' }),
  'account-email': credential('account', { service_account: 'other@acme.iam.gserviceaccount.com' }),
  'azure-tenant': credential('azure', { tenant_id: 'other.example.com' }),
  'azure-client': credential('azure', { client_id: 'other' }),
  'azure-scope': credential('azure', { scope: 'https://api.example.com/read' }),
  'azure-resource': credential('azure', { scope: 'https://other.example.com/.default' }),
  'azure-audience': credential('azure', { audience: 'api://azureadtokenexchange' }),
  'aws-role': credential('aws', { role_arn: 'arn:aws:iam::123456789012:role/other' }),
  'aws-audience': credential('aws', { audience: 'sts.amazonaws.com.cn' }),
  'aws-seconds': credential('aws', { session_seconds: 7200 }),
  'oauth-grant': credential('oauth', { grant: 'jwt-bearer' }),
  'oauth-audience': credential('oauth', { audience: 'https://auth.example.com/' }),
};

/** `[name, what is wrong, status, code, how it comes about and is undone]`. Names with a dash are the mistakes above. */
const REFUSALS = [
  ['anthropic', 'a subject that no rule has', 401, 'authentication_error', ({ anthropic }, subject) => untrusted(anthropic, subject)],
  ['anthropic', 'a rule for several workspaces', 401, 'authentication_error', ({ anthropic: { rule } }) => changed(rule, 'workspaces', ['wrkspc_1', 'wrkspc_2'])],
  ['anthropic', 'an issuer of shorter tokens', 401, 'authentication_error', ({ anthropic }) => changed(anthropic, 'maxSeconds', 1799)],
  ['anthropic-rule', 'an unknown rule', 401, 'authentication_error'],
  ['anthropic-audience', 'another audience', 401, 'authentication_error'],
  ['anthropic-malformed', 'a rule that is none', 400, 'invalid_request_error'],
  ['anthropic-workspace', 'a workspace that is none', 400, 'invalid_request_error'],
  ['openai-provider', 'an unknown provider', 400, 'invalid_grant'],
  ['openai-account', 'an account without a mapping', 403, 'invalid_grant'],
  ['openai-audience', 'another audience', 401, 'invalid_subject_token'],
  ['openai', 'a subject that no mapping has', 403, 'invalid_grant', ({ openai }, subject) => untrusted(openai, subject)],
  ['google-provider', 'an unknown provider', 400, 'invalid_target'],
  ['google', 'an attribute condition', 400, 'unauthorized_client', ({ google }, subject) => untrusted(google, subject)],
  ['google', 'a subject of 128 bytes', 400, 'invalid_request', () => ({ bytes: 128 })],
  ['google', 'a quota', 429, 'quota_exceeded', ({ google }) => changed(google, 'refuses', quota.sts)],
  ['account', 'no permission to impersonate', 403, 'PERMISSION_DENIED', ({ account }) => changed(account, 'mayImpersonate', false)],
  ['account', 'an API that is off', 403, 'PERMISSION_DENIED', ({ account }) => changed(account, 'isEnabled', false)],
  ['account', 'a quota', 429, 'RESOURCE_EXHAUSTED', ({ account }) => changed(account, 'refuses', quota.accounts)],
  ['account', 'a first token that is over', 401, 'UNAUTHENTICATED', ({ account, google }) => changed(account, 'answer', forgetting(account, google))],
  ['account-email', 'an unknown account', 404, 'NOT_FOUND'],
  ['azure-tenant', 'an unknown tenant', 400, 'AADSTS90002'],
  ['azure-client', 'an unknown application', 400, 'AADSTS700016'],
  ['azure-scope', 'a scope that is not .default', 400, 'AADSTS1002012'],
  ['azure-resource', 'an unknown resource', 400, 'AADSTS500011'],
  ['azure-audience', 'an audience that differs in case', 401, 'AADSTS700212'],
  ['azure', 'another subject', 401, 'AADSTS700213', ({ azure }, subject) => untrusted(azure, subject)],
  ['azure', 'another issuer', 401, 'AADSTS700211', ({ azure: { client } }) => changed(client, 'issuers', new Set())],
  ['azure', 'a credential that is minutes old', 400, 'AADSTS70021', ({ azure }) => changed(azure, 'refuses', notKnownYet)],
  ['aws-role', 'an unknown role', 403, 'AccessDenied'],
  ['aws', 'a trust policy', 403, 'AccessDenied', ({ aws }, subject) => untrusted(aws, subject)],
  ['aws', 'no identity provider', 400, 'InvalidIdentityToken', ({ aws }) => changed(aws, 'providers', new Map())],
  ['aws-audience', 'another audience', 400, 'InvalidIdentityToken'],
  ['aws-seconds', 'a session that is too long', 400, 'ValidationError'],
  ['aws', 'a region that is off', 403, 'RegionDisabledException', ({ aws }) => changed(aws, 'isActive', false)],
  ...['IDPRejectedClaim', 'PackedPolicyTooLarge', 'MalformedPolicyDocument', 'Throttling'].map((code) =>
    ['aws', code, awsErrors[code].status, code, ({ aws }) => changed(aws, 'refuses', awsErrors[code])]),
  ['oauth-grant', 'an unsupported grant', 400, 'unsupported_grant_type', ({ oauth }) => changed(oauth, 'supported', [])],
  ['oauth-audience', 'another audience', 400, 'invalid_grant'],
  ['oauth', 'a client that is none', 401, 'invalid_client', ({ oauth }, subject) => untrusted(oauth, subject)],
  ...Object.entries(oauthErrors).map(([code, refusal]) =>
    ['oauth', code, refusal.status, code, ({ oauth }) => changed(oauth, 'refuses', refusal)]),
];

/** Every function of the table returns how to undo it, or what the subject is to be. */
function changed(object, name, value) {
  const { [name]: before } = object;
  object[name] = value;
  return { undo: () => { object[name] = before; } };
}

function untrusted(provider, subject) {
  provider.subjects.delete(subject);
  return {};
}

/** The second leg, when its token is no longer known. */
const forgetting = (account, google) => (record) => {
  google.exchanges.splice(0);
  return Object.getPrototypeOf(account).answer.call(account, record);
};

describe('providers that say no', () => {
  let world;
  let cases = 0;

  before(async () => {
    const all = { ...CREDENTIALS, ...MISTAKES };
    const upstreams = Object.entries(all).map(([name, own]) => {
      const [[kind, members]] = Object.entries(own);
      return [name, { credential: { [kind]: { ...members, identity: 'caller-subject' } } }];
    });
    world = await Federated.start(Object.fromEntries(upstreams), echo, ALLOW);
  });
  after(async () => {
    try {
      await world?.assertNothingLeaked();
    } finally {
      await world?.stop();
    }
  });

  /** A caller whom no isolate has a credential for, registered everywhere. */
  function caller({ bytes } = {}) {
    cases += 1;
    const sub = `repo:acme/case-${cases}`;
    const subject = world.principal(sub);
    const claims = { sub: bytes ? sub.padEnd(sub.length + bytes - subject.length, 'x') : sub };
    world.trust(world.principal(claims.sub));
    return { claims, subject: world.principal(claims.sub) };
  }

  /** The lines about exchanges since a number of lines. */
  const linesSince = (count) => world.proxied.lines().slice(count).filter(({ message }) => message?.startsWith('upstream '));

  async function refused(name, { claims, subject }, status, code, reason = 'refused') {
    const before = world.proxied.lines().length;
    const answer = await world.call(name, '/a', { claims });
    const text = await answer.text();
    assert.equal(answer.status, 503, text);
    const { request_id: _, ...told } = JSON.parse(text);
    assert.equal(told.error, 'unavailable');
    assert.equal(told.message, "the upstream's credential is not available");
    assert.match(answer.headers.get('retry-after'), /^\d+$/);
    await world.proxied.event(({ subject: sub, outcome }) => sub === claims.sub && outcome === 'unavailable');
    const [line, ...more] = linesSince(before);
    assert.deepEqual(more, []);
    const [kind] = name.split('-');
    assert.equal(line.message, 'upstream credential not granted');
    assert.deepEqual(
      [line.upstream, line.kind, line.status, line.code, line.reason, line.iss, line.sub],
      [name, KINDS[kind], String(status), code, reason, `https://${DOMAIN}`, subject],
    );
    assert.ok(!JSON.stringify(line).includes('text'), 'none of the provider’s words');
    return line;
  }

  async function granted(name, { claims }) {
    const answer = await world.call(name, '/a', { claims });
    assert.equal(answer.status, 200, `${name} ${await answer.text()} ${JSON.stringify(linesSince(0).at(-1))}`);
  }

  for (const [name, what, status, code, bringAbout = () => ({})] of REFUSALS) {
    test(`${name}: ${what} is ${code}`, async () => {
      const { providers } = world;
      let who = caller();
      const { undo, bytes } = bringAbout(providers, who.subject);
      if (bytes) who = caller({ bytes });
      const host = { google: 'sts.googleapis.com', account: 'iamcredentials.googleapis.com' }[name] ?? providers[name.split('-')[0]].host;
      const asked = world.asked(host);
      const line = await refused(name, who, status, code);
      assert.equal(world.asked(host), asked + 1, 'no refusal is tried again');
      if (KINDS[name.split('-')[0]] === 'google') assert.equal(line.leg, name.startsWith('account') ? 'service_account' : 'exchange');
      undo?.();
    });
  }

  test('google: a subject of 127 bytes is taken', () => granted('google', caller({ bytes: 127 })));

  test('without the mistake each of them grants', async () => {
    for (const name of Object.keys(CREDENTIALS)) await granted(name, caller());
  });

  test('aws: what is temporary is tried once more, with another assertion', async () => {
    const { aws } = world.providers;
    const { undo } = changed(aws, 'refuses', awsErrors.IDPCommunicationError);
    const asked = world.asked(aws.host);
    await refused('aws', caller(), 400, 'IDPCommunicationError', 'temporary');
    assert.equal(world.asked(aws.host), asked + 2);
    undo();
    world.party.isCutOff = true;
    await refused('aws', caller(), 400, 'InvalidIdentityToken', 'temporary');
    assert.equal(world.asked(aws.host), asked + 4);
    // It comes back between the two tries.
    const { answer } = aws;
    aws.answer = (record) => {
      aws.answer = (again) => {
        world.party.isCutOff = false;
        return answer.call(aws, again);
      };
      return answer.call(aws, record);
    };
    await granted('aws', caller());
    aws.answer = answer;
    assert.equal(world.asked(aws.host), asked + 6);
    const assertions = world.internet.requestsTo({ host: aws.host }).slice(-2).map(({ body }) => new URLSearchParams(body).get('WebIdentityToken'));
    assert.notEqual(assertions[0], assertions[1]);
  });

  /** What each of them says when it has our keys no longer, when the time is over, or not come. */
  const CUT_OFF = { anthropic: [401, 'authentication_error'], openai: [401, 'invalid_subject_token'], google: [400, 'invalid_grant'], account: [400, 'invalid_grant'], azure: [401, 'AADSTS700027'], oauth: [400, 'invalid_grant'] };

  test('a provider that cannot have our keys says so in its way', async () => {
    world.party.isCutOff = true;
    for (const [name, [status, code]] of Object.entries(CUT_OFF)) {
      const line = await refused(name, caller(), status, code);
      if (name === 'account') assert.equal(line.leg, 'exchange');
    }
    world.party.isCutOff = false;
  });

  for (const ahead of [-60, 60]) {
    test(`a verifier whose clock is ${ahead} seconds off takes our assertion, unless it refuses an iat to come`, async () => {
      world.party.ahead = ahead;
      // Who refuses an `iat` in its future, and by how much; docs/federation.md has both.
      const refusing = ahead < 0 ? ['anthropic', 'google', 'account', 'oauth'] : [];
      for (const name of Object.keys(CREDENTIALS)) {
        if (refusing.includes(name)) await refused(name, caller(), ...CUT_OFF[name]);
        else await granted(name, caller());
      }
      world.party.ahead = 0;
    });
  }

  test('half a minute behind is within what Anthropic allows', async () => {
    world.party.ahead = -28;
    await granted('anthropic', caller());
    world.party.ahead = 0;
  });

  test('a clock that is off by more than the assertion lives is said so where the provider has a word for it', async () => {
    world.party.ahead = 301;
    await refused('azure', caller(), 401, 'AADSTS700024');
    await refused('aws', caller(), 400, 'ExpiredTokenException');
    world.party.ahead = -61;
    await refused('azure', caller(), 401, 'AADSTS700024');
    world.party.ahead = 0;
  });

  describe('keys', () => {
    const old = () => world.key;
    const fresh = signingKey();

    test('a rotation by the book is seen by nobody, however long they keep the key set', async () => {
      world.party.keepsKeys = true;
      for (const settings of [
        { ISSUER_PRIVATE_KEY: old(), ISSUER_PRIVATE_KEY_NEXT: fresh },
        { ISSUER_PRIVATE_KEY: old(), ISSUER_PRIVATE_KEY_NEXT: fresh, ISSUER_PRIVATE_KEY_PREVIOUS: old() },
        { ISSUER_PRIVATE_KEY: fresh, ISSUER_PRIVATE_KEY_NEXT: fresh, ISSUER_PRIVATE_KEY_PREVIOUS: old() },
        { ISSUER_PRIVATE_KEY: fresh, ISSUER_PRIVATE_KEY_PREVIOUS: old() },
        { ISSUER_PRIVATE_KEY: fresh, ISSUER_PRIVATE_KEY_PREVIOUS: undefined },
      ]) {
        await world.proxied.newIsolate({ ISSUER_PRIVATE_KEY_NEXT: undefined, ...settings });
        // The key set that was published at the step before is still the one that counts.
        for (const name of Object.keys(CREDENTIALS)) await granted(name, caller());
        await world.party.refresh();
      }
      world.party.keepsKeys = false;
    });

    test('a key that signs before anybody knows it is refused until the key set is taken again', async () => {
      world.party.keepsKeys = true;
      await world.proxied.newIsolate({ ISSUER_PRIVATE_KEY: signingKey() });
      for (const [name, [status, code]] of Object.entries(CUT_OFF)) await refused(name, caller(), status, code);
      await refused('aws', caller(), 400, 'InvalidIdentityToken', 'temporary');
      world.party.keepsKeys = false;
      for (const name of Object.keys(CREDENTIALS)) await granted(name, caller());
    });

    test('what a stolen key signs is taken until the key is published no longer and the key set is taken again', async () => {
      const { subject } = caller();
      const key = await importPKCS8(fresh, 'RS256');
      const stolen = (kid) => {
        const now = Math.floor(Date.now() / 1000);
        return new SignJWT({ jti: `${cases}-${kid}` }).setProtectedHeader({ alg: 'RS256', kid, typ: 'JWT' })
          .setIssuer(`https://${DOMAIN}`).setSubject(subject).setAudience('https://auth.example.com').setIssuedAt(now).setNotBefore(now).setExpirationTime(now + 60).sign(key);
      };
      await world.proxied.newIsolate({ ISSUER_PRIVATE_KEY: fresh, ISSUER_PRIVATE_KEY_PREVIOUS: undefined });
      await world.party.refresh();
      const kids = async () => (await (await fetch(`${world.proxied.url}/.well-known/jwks.json`)).json()).keys.map(({ kid }) => kid);
      const [kid] = await kids();
      assert.equal((await world.party.verify(await stolen(kid))).sub, subject);
      await world.proxied.newIsolate({ ISSUER_PRIVATE_KEY: signingKey(), ISSUER_PRIVATE_KEY_PREVIOUS: undefined });
      assert.ok(!(await kids()).includes(kid));
      assert.equal((await world.party.verify(await stolen(kid))).sub, subject, 'whoever keeps the key set still takes it');
      await world.party.refresh();
      await assert.rejects(world.party.verify(await stolen(kid)), { reason: 'keys' });
      // Under the name of a key that is published it is no better.
      await assert.rejects(world.party.verify(await stolen((await kids())[0])), { reason: 'signature' });
    });
  });
});
