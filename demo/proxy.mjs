// The chapter on the proxy: an unmodified SDK with a job's OIDC token in place of an API key, an upstream without any
// stored credential, and a budget.

import AnthropicSdk from '@anthropic-ai/sdk';

import { actionsClaims } from '../tests/e2e/support/issuers.mjs';
import { FEDERATION } from './anthropic.mjs';
import { answer, claim, expect, note, request, source, step } from './terminal.mjs';

const MAX_REQUESTS = 2;

/** The setting, for callers with tokens from `issuer`. */
export function upstreams({ issuer, anthropic }) {
  return {
    anthropic: {
      url: anthropic.url,
      credential: { anthropic: { ...FEDERATION, token_url: `${anthropic.url}/v1/oauth/token` } },
      allow: [{ issuer: issuer.url, subject: 'repo:acme/app:ref:refs/heads/main' }],
      methods: ['POST'],
      paths: ['/v1/messages'],
      max_requests: MAX_REQUESTS,
      requests_per_second: 10,
    },
  };
}

export async function anSdkCallsThroughTheProxy(world) {
  step('A job calls Anthropic through the proxy: no API key in CI, and none in the service');
  source('UPSTREAMS', JSON.stringify(world.upstreams, null, 2));
  const audience = `https://${world.domain}/proxy/anthropic`;
  const run = { aud: audience, run_id: '17', run_attempt: '1' };
  const token = await world.issuer.token(actionsClaims(run));
  note('the SDK gets the address of the proxy, and the job’s OIDC token as its API key:');
  request('POST', `${world.service}/proxy/anthropic/v1/messages`, { 'x-api-key': '$OIDC_TOKEN' });
  const client = new AnthropicSdk({ apiKey: token, baseURL: `${world.service}/proxy/anthropic`, maxRetries: 0 });

  const arrivals = await streamed(client);
  const text = arrivals.map(({ piece }) => piece).join('');
  const { traded, tokens, arrived } = world.anthropic;
  expect('the whole answer arrived', text === 'A credential that nobody holds cannot leak.');
  expect('piece by piece, while the upstream was still writing', arrivals.at(-1).at - arrivals[0].at > 150);
  expect('Anthropic verified our assertion with our published keys', traded.length === 1 && traded[0].sub === 'upstream:anthropic');
  expect('and saw its own access token, never the job’s', tokens.some((own) => arrived[0].includes(own)) && !arrived.some((headers) => headers.includes(token)));

  step('The budget of the run ends it');
  await streamed(client);
  expect('the second call uses the same access token', traded.length === 1);
  const ended = await streamed(client).catch((error) => error);
  answer(ended.status ?? 200, ended.error ?? {});
  expect('the third is 403 budget_exhausted, which no SDK repeats', ended.status === 403 && ended.headers.get('x-octo-sts-error') === 'budget_exhausted');
  const again = new AnthropicSdk({ apiKey: await world.issuer.token(actionsClaims(run)), baseURL: `${world.service}/proxy/anthropic`, maxRetries: 0 });
  const refused = await streamed(again).catch((error) => error);
  expect('a new token of the same run buys nothing', refused.status === 403 && world.anthropic.arrived.length === MAX_REQUESTS);

  note('the Worker is deployed again, and the old signing key is published no longer:');
  const { ISSUER_PRIVATE_KEY_PREVIOUS: _, ...settings } = world.settings;
  await world.worker.redeploy(settings);
  const later = await streamed(again).catch((error) => error);
  expect('the budget stays used up: a Durable Object keeps it', later.status === 403 && world.anthropic.arrived.length === MAX_REQUESTS);

  await nothingLeaked(world);
}

/** The pieces of one answer, with their arrival times. */
async function streamed(client) {
  const stream = await client.messages.create({ model: 'claude-demo', max_tokens: 64, stream: true, messages: [{ role: 'user', content: 'What is a credential that cannot leak?' }] });
  const arrivals = [];
  for await (const event of stream) {
    if (event.type !== 'content_block_delta') continue;
    arrivals.push({ piece: event.delta.text, at: performance.now() });
    claim(`+${Math.round(arrivals.at(-1).at - arrivals[0].at)} ms`, event.delta.text);
  }
  return arrivals;
}

async function nothingLeaked(world) {
  const refused = await world.worker.logged(({ event, outcome }) => event === 'proxy' && outcome === 'budget_exhausted');
  const forwarded = await world.worker.logged(({ event, outcome }) => event === 'proxy' && outcome === 'forwarded');
  answer(forwarded ?? {});
  expect('both decisions are on record', Boolean(refused && forwarded) && forwarded.remaining === MAX_REQUESTS - 1);
  const log = world.worker.lines.join('\n');
  const secrets = [...world.secrets, ...world.anthropic.tokens, ...world.issuer.issued, ...world.github.minted];
  expect(`the log shows none of the ${secrets.length} secrets of this story`, secrets.every((secret) => !log.includes(secret)));
}
