// Unmodified SDKs through the proxy: `@anthropic-ai/sdk` and `openai`, plain and streaming. All that a job changes is the
// address and the API key, which is its OIDC token.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';

import { answering, COMPLETIONS, MESSAGES } from './support/models.mjs';
import { CANARY, Proxied } from './support/proxied.mjs';
import { upstream } from './support/upstream.mjs';

describe('SDKs', () => {
  let world, api;

  before(async () => {
    const pause = () => sleep(100);
    api = await upstream({
      '/v1/messages': answering(MESSAGES, pause),
      '/v1/chat/completions': answering(COMPLETIONS, pause),
    });
    world = await Proxied.start({
      anthropic: { url: api.url, credential: { secret: { name: 'EXAMPLE_API_KEY', header: 'x-api-key' } }, paths: ['/v1/messages'] },
      openai: { url: `${api.url}/v1` },
      short: { url: `${api.url}/v1`, max_requests: 1 },
    });
  });
  after(async () => {
    await world?.stop();
    await api?.close();
  });

  const request = { model: 'example', max_tokens: 16, messages: [{ role: 'user', content: 'hi' }] };

  test('@anthropic-ai/sdk with the token as its API key, plain and streaming', async () => {
    const client = new Anthropic({ apiKey: await world.token('anthropic'), baseURL: `${world.url}/proxy/anthropic` });
    const whole = await client.messages.create(request);
    assert.equal(whole.content[0].text, 'hello');
    const arrived = api.seen.at(-1);
    assert.equal(arrived.headers['x-api-key'], CANARY);
    assert.equal(arrived.headers.authorization, undefined);
    assert.match(arrived.headers['anthropic-version'], /^\d{4}-/);
    const times = [];
    const stream = client.messages.stream(request).on('text', () => times.push(performance.now()));
    assert.equal((await stream.finalMessage()).content[0].text, 'hello');
    assert.ok(times[1] - times[0] > 50, 'a delta arrives before the next is written');
  });

  test('@anthropic-ai/sdk with the token as a bearer', async () => {
    const client = new Anthropic({ authToken: await world.token('anthropic'), apiKey: null, baseURL: `${world.url}/proxy/anthropic` });
    assert.equal((await client.messages.create(request)).content[0].text, 'hello');
    assert.equal(api.seen.at(-1).headers['x-api-key'], CANARY);
  });

  test('openai, plain and streaming', async () => {
    const client = new OpenAI({ apiKey: await world.token('openai'), baseURL: `${world.url}/proxy/openai` });
    const whole = await client.chat.completions.create(request);
    assert.equal(whole.choices[0].message.content, 'hello');
    assert.equal(api.seen.at(-1).headers.authorization, `Bearer ${CANARY}`);
    assert.equal(api.seen.at(-1).url, '/v1/chat/completions');
    let text = '';
    for await (const part of await client.chat.completions.create({ ...request, stream: true })) text += part.choices[0].delta.content ?? '';
    assert.equal(text, 'hello');
  });

  test('a budget that is used up ends the calls, and no SDK repeats that', async () => {
    const client = new OpenAI({ apiKey: await world.token('short', { run_id: 'short' }), baseURL: `${world.url}/proxy/short` });
    await client.chat.completions.create(request);
    const before = world.events().length;
    await assert.rejects(client.chat.completions.create(request), (error) => error.status === 403 && error.headers.get('x-octo-sts-error') === 'budget_exhausted');
    await world.event(({ outcome }) => outcome === 'budget_exhausted');
    assert.equal(world.events().length, before + 1);
  });

  test('a token for another upstream is refused with the reason', async () => {
    const client = new Anthropic({ apiKey: await world.token('openai'), baseURL: `${world.url}/proxy/anthropic`, maxRetries: 0 });
    await assert.rejects(client.messages.create(request), (error) => error.status === 403 && /audience/.test(error.message));
  });
});
