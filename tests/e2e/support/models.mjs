// The APIs of two makers of language models, as far as their SDKs look: one answer, whole and as a stream.

const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'example', content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 } };
const event = (name, data) => `event: ${name}\ndata: ${JSON.stringify({ type: name, ...data })}\n\n`;
const delta = (text) => event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } });

/** `POST /v1/messages`. */
export const MESSAGES = {
  whole: { ...message, content: [{ type: 'text', text: 'hello' }], stop_reason: 'end_turn' },
  stream: [
    event('message_start', { message }) + event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }) + delta('hel'),
    delta('lo') + event('content_block_stop', { index: 0 }) + event('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 2 } }) + event('message_stop', {}),
  ],
};

const completion = { id: 'c1', created: 1, model: 'example' };
const chunk = (delta, finish_reason = null) => `data: ${JSON.stringify({ ...completion, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] })}\n\n`;

/** `POST /v1/chat/completions`. */
export const COMPLETIONS = {
  whole: { ...completion, object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: 'hello' }, finish_reason: 'stop' }] },
  stream: [chunk({ role: 'assistant', content: '' }) + chunk({ content: 'hel' }), `${chunk({ content: 'lo' })}${chunk({}, 'stop')}data: [DONE]\n\n`],
};

/** Answers as it is asked; `between` is awaited before the second half of a stream. */
export const answering = ({ whole, stream }, between) => async (request, response) => {
  let text = '';
  for await (const part of request) text += part;
  if (!JSON.parse(text).stream) {
    response.writeHead(200, { 'content-type': 'application/json' });
    return void response.end(JSON.stringify(whole));
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  response.write(stream[0]);
  await between();
  response.end(stream[1]);
};
