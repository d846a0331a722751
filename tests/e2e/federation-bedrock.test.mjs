// AWS's own SDK for Bedrock, unmodified, through the proxy: its endpoint is the proxy's address, and its API key of Bedrock
// the job's OIDC token. What arrives is signed by the service, and checked as AWS checks it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand, InvokeModelCommand, InvokeModelWithResponseStreamCommand } from '@aws-sdk/client-bedrock-runtime';
import { EventStreamCodec } from '@smithy/core/event-streams';

import { edge } from './support/edge.mjs';
import { CREDENTIALS, Federated } from './support/providers/index.mjs';
import { verifyBedrockKey, verifySigned } from './support/sigv4.mjs';

const REGION = 'eu-central-1';
const MODEL = 'anthropic.claude-3-haiku-20240307-v1:0';
const MODEL_PATH = `/model/${encodeURIComponent(MODEL)}`;
const VARIABLE = 'AWS_BEARER_TOKEN_BEDROCK';
/** What a job of AWS's own has in its environment. */
const OWN = { AWS_ACCESS_KEY_ID: 'AKIAOWN', AWS_SECRET_ACCESS_KEY: 'the-callers-own-key' };

const codec = new EventStreamCodec((bytes) => Buffer.from(bytes).toString(), (text) => Buffer.from(text));
/** A frame of an event stream. */
const frame = (type, value) => codec.encode({
  headers: {
    ':message-type': { type: 'string', value: 'event' },
    ':event-type': { type: 'string', value: type },
    ':content-type': { type: 'string', value: 'application/json' },
  },
  body: Buffer.from(JSON.stringify(value)),
});

const STREAMS = {
  'converse-stream': [
    frame('messageStart', { role: 'assistant' }),
    frame('contentBlockDelta', { contentBlockIndex: 0, delta: { text: 'hel' } }),
    frame('contentBlockDelta', { contentBlockIndex: 0, delta: { text: 'lo' } }),
    frame('contentBlockStop', { contentBlockIndex: 0 }),
    frame('messageStop', { stopReason: 'end_turn' }),
  ],
  'invoke-with-response-stream': ['{"a":"hel"}', '{"a":"lo"}'].map((text) => frame('chunk', { bytes: Buffer.from(text).toString('base64') })),
};

const WHOLE = {
  converse: { output: { message: { role: 'assistant', content: [{ text: 'hello' }] } }, stopReason: 'end_turn', usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 }, metrics: { latencyMs: 1 } },
  invoke: { a: 'hello' },
};

describe("AWS's SDK", () => {
  let world, front;
  const arrived = [];

  /** Bedrock's runtime: without a signature or a key of a session of STS, nothing is answered. */
  async function bedrock(incoming, outgoing) {
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const { method, url, headers } = incoming;
    const sessions = world.providers.aws.exchanges.map(({ granted }) => granted);
    try {
      if (headers.authorization.startsWith('Bearer ')) await verifyBedrockKey(headers.authorization, sessions, REGION);
      else await verifySigned({ method, url, headers, body: Buffer.concat(chunks) }, sessions, { region: REGION, service: 'bedrock' });
    } catch (error) {
      outgoing.writeHead(403, { 'content-type': 'application/json', 'x-amzn-errortype': 'InvalidSignatureException' });
      return outgoing.end(JSON.stringify({ message: String(error) }));
    }
    arrived.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
    const operation = url.slice(MODEL_PATH.length + 1);
    assert.ok(url.startsWith(MODEL_PATH), url);
    const stream = STREAMS[operation];
    if (!stream) {
      outgoing.writeHead(200, { 'content-type': 'application/json' });
      return outgoing.end(JSON.stringify(WHOLE[operation]));
    }
    outgoing.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' });
    for (const part of stream) {
      outgoing.write(part);
      await sleep(100);
    }
    return outgoing.end();
  }

  before(async () => {
    const key = { aws: { ...CREDENTIALS.aws.aws, sign: 'bedrock-key' } };
    world = await Federated.start({ sigv4: { credential: CREDENTIALS.aws }, 'bedrock-key': { credential: key }, short: { credential: CREDENTIALS.aws, max_requests: 1 } }, bedrock);
    world.trust('upstream:sigv4', 'upstream:bedrock-key', 'upstream:short');
    front = await edge(world.proxied.url);
    Object.assign(process.env, OWN);
  });
  after(async () => {
    for (const name of [VARIABLE, ...Object.keys(OWN)]) delete process.env[name];
    try {
      await world?.assertNothingLeaked();
    } finally {
      await front?.close();
      await world?.stop();
    }
  });

  /** The client of a job: the address of the proxy, and the variable. */
  async function client(name, claims) {
    process.env[VARIABLE] = await world.proxied.token(name, claims);
    return new BedrockRuntimeClient({ region: REGION, endpoint: `${front.url}/proxy/${name}`, maxAttempts: 1 });
  }

  const messages = [{ role: 'user', content: [{ text: 'hi' }] }];

  for (const name of ['sigv4', 'bedrock-key']) {
    test(`${name}: plain`, async () => {
      const sdk = await client(name);
      const { output } = await sdk.send(new ConverseCommand({ modelId: MODEL, messages }));
      assert.equal(output.message.content[0].text, 'hello');
      const { body } = await sdk.send(new InvokeModelCommand({ modelId: MODEL, contentType: 'application/json', body: JSON.stringify({ a: 'ä' }) }));
      assert.deepEqual(JSON.parse(Buffer.from(body).toString()), WHOLE.invoke);
      assert.deepEqual(arrived.slice(-2).map(({ url, body: sent }) => [url, JSON.parse(sent)]), [[`${MODEL_PATH}/converse`, { messages }], [`${MODEL_PATH}/invoke`, { a: 'ä' }]]);
    });

    test(`${name}: streaming`, async () => {
      const sdk = await client(name);
      const times = [];
      let text = '';
      for await (const { contentBlockDelta } of (await sdk.send(new ConverseStreamCommand({ modelId: MODEL, messages }))).stream) {
        if (!contentBlockDelta) continue;
        times.push(performance.now());
        text += contentBlockDelta.delta.text;
      }
      assert.equal(text, 'hello');
      assert.ok(times[1] - times[0] > 50, 'a delta arrives before the next is written');
      const parts = [];
      const command = new InvokeModelWithResponseStreamCommand({ modelId: MODEL, contentType: 'application/json', body: '{}' });
      for await (const { chunk } of (await sdk.send(command)).body) parts.push(JSON.parse(Buffer.from(chunk.bytes).toString()).a);
      assert.deepEqual(parts, ['hel', 'lo']);
    });
  }

  test('one session served each of them, and the caller’s own keys are of no use to anybody', () => {
    assert.deepEqual(world.providers.aws.asked, ['upstream:sigv4', 'upstream:bedrock-key']);
    assert.ok(front.asked.every((line) => line.startsWith('2.0 POST /proxy/')), front.asked.join('\n'));
    for (const { headers } of arrived) {
      assert.ok(!JSON.stringify(headers).includes(process.env[VARIABLE].split('.')[2]));
      assert.ok(!JSON.stringify(headers).includes('AKIAOWN'));
      assert.equal(headers.host, 'upstream.example.com');
    }
  });

  test('a refusal of the proxy is an error of the SDK with the reason, and is not repeated', async () => {
    const sdk = new BedrockRuntimeClient({ region: REGION, endpoint: `${front.url}/proxy/short`, token: { token: await world.proxied.token('short') } });
    await sdk.send(new ConverseCommand({ modelId: MODEL, messages }));
    const before = front.asked.length;
    await assert.rejects(sdk.send(new ConverseCommand({ modelId: MODEL, messages })), (error) => error.$metadata.httpStatusCode === 403 && /requests/.test(error.message));
    assert.equal(front.asked.length, before + 1);
  });

  test('an SDK that signs itself is refused', async () => {
    delete process.env[VARIABLE];
    const sdk = new BedrockRuntimeClient({ region: REGION, endpoint: `${front.url}/proxy/sigv4`, maxAttempts: 1 });
    await assert.rejects(sdk.send(new ConverseCommand({ modelId: MODEL, messages })), (error) => error.$metadata.httpStatusCode === 401);
    process.env[VARIABLE] = await world.proxied.token('sigv4');
  });
});
