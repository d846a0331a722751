// The cases of octo-sts/action's own tests (github.com/octo-sts/action, index.test.js, of 2026): which tokens of the job it
// reads, what it says of those that are none, and that nothing of them is shown.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { StandIn, Step } from './runner.mjs';

const coded = (text) => Buffer.from(text).toString('base64url');
const token = (payload) => `${coded('{"alg":"RS256","typ":"JWT"}')}.${payload}.test-signature`;
const ofClaims = (claims) => token(coded(JSON.stringify(claims)));

let value;
let service;
before(async () => {
  service = await StandIn.start(({ path }) =>
    path.startsWith('/idtoken') ? { json: { value } } : { status: 401, json: { error: 'invalid_token', message: 'the token is not a signed token', request_id: 'r' } },
  );
});
after(() => service.stop());

async function refused(given) {
  value = given;
  const step = new Step({ tokens: service.url, inputs: { domain: service.host, scope: 'acme/app', identity: 'deploy' } });
  const { code, log, summary, outputs } = await step.main();
  assert.equal(code, 1, log);
  assert.deepEqual(outputs, {});
  return { summary, log: log.split('\n').filter((line) => !line.startsWith('::add-mask::')).join('\n') };
}

describe('the claims of the job\'s token are shown where it is refused', () => {
  for (const [what, claims] of [
    ['of a valid token', { iss: 'https://token.actions.githubusercontent.com', sub: 'repo:octo-org/octo-repo:ref:refs/heads/main', aud: 'https://github.com/octo-org', exp: 1234567890, iat: 1234567800 }],
    ['with nested claims', { iss: 'test-issuer', sub: 'test-subject', nested: { property: 'value', array: [1, 2, 3] } }],
    ['with special characters', { message: 'Special chars: !@#$%^&*()', unicode: '日本語', emoji: '🚀' }],
    ['without any', {}],
    ['with null', { nullValue: null }],
    ['with lists', { scopes: ['read', 'write', 'admin'], numbers: [1, 2, 3] }],
    ['with a very long one', { longClaim: 'a'.repeat(10_000) }],
  ]) {
    test(what, async () => {
      const { summary, log } = await refused(ofClaims(claims));
      const [, shown] = /<<'CLAIMS'\n([^]*?)\nCLAIMS\n/.exec(summary);
      assert.deepEqual(JSON.parse(shown), claims);
      const [, grouped] = /::group::Claims of the job's token\n([^]*?)\n::endgroup::/.exec(log);
      assert.deepEqual(JSON.parse(grouped), claims);
    });
  }
});

describe('a token that is none is refused, and nothing of it is shown', () => {
  const [single, secret] = ['single-part-with-SECRET-DATA-xyz', 'header.SECRET_TOKEN_DATA_12345.signature'];
  for (const [what, given, parts] of [
    ['null', null, []],
    ['nothing', undefined, []],
    ['an empty text', '', []],
    ['one part', single, ['SECRET', 'xyz']],
    ['two parts', 'two.parts', ['two.parts']],
    ['four parts', 'one.two.three.four', ['one.two']],
    ['no base64url', 'header.!!!invalid-base64!!!.signature', ['invalid-base64']],
    ['no JSON after decoding', secret, ['SECRET_TOKEN_DATA', '12345']],
    ['no JSON', token(coded('{SECRET_PASSWORD_123}')), ['SECRET_PASSWORD', coded('{SECRET_PASSWORD_123}')]],
    ['JSON that does not end', token(coded('{"unclosed": "bracket"')), ['unclosed', 'bracket']],
  ]) {
    test(what, async () => {
      const { summary, log } = await refused(given);
      for (const part of parts) assert.ok(!log.includes(part) && !summary.includes(part), `${part}: ${log}`);
      assert.match(log, /::error title=octo-sts::(the runner's token service gave no OIDC token|the token is not a signed token)/);
    });
  }
});
