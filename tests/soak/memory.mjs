// Comes before the Worker and looks over its shoulder while it starts: how large its own memory is.

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
