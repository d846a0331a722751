// What the runtime calls: the least that can be done.

import * as worker from './index.js';

export default {
  fetch: (request, env, context) => worker.fetch(request, env, context),
};
