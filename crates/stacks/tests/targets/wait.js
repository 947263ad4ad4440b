// Waits for ever inside two functions of JavaScript. Prints `ready` before.

function registerSession() {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

function acceptLoop() {
  registerSession();
}

console.log("ready");
acceptLoop();
