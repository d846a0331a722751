// Loaded before the Worker, to observe the size of its memory while it starts.

const instances = [];

WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(target, of) {
    const instance = new target(...of);
    instances.push(instance);
    return instance;
  },
});

/** The bytes of the WebAssembly memory, which never shrinks. */
export const memory = () => instances.reduce((sum, { exports }) => sum + exports.memory.buffer.byteLength, 0);
