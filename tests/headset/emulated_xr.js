// A headset with two controllers as a page sees it by WebXR, 72 times a second. A test moves `emulated.poses`: [x, y, z,
// qx, qy, qz, qw] each, null for what is not seen.
(() => {
  const emulated = {
    poses: { viewer: [0, 1.6, 0, 0, 0, 0, 1], left: [-0.7, 1.4, 0, 0, 0, 0, 1], right: [0.7, 1.4, 0, 0, 0, 0, 1] },
    session: null,
  };
  const pose = numbers => {
    if (!numbers) return null;
    const [x, y, z, qx, qy, qz, qw] = numbers;
    return { transform: { position: { x, y, z }, orientation: { x: qx, y: qy, z: qz, w: qw } }, emulatedPosition: false };
  };
  const frame = {
    getViewerPose: space => pose(emulated.poses.viewer),
    getPose: (of, space) => pose(emulated.poses[of.hand]),
  };

  class Session {
    renderState = {};
    inputSources = ["left", "right"].map(hand => ({ handedness: hand, gripSpace: { hand } }));
    updateRenderState(state) { Object.assign(this.renderState, state); }
    async requestReferenceSpace(kind) {
      if (kind !== "local-floor") throw new DOMException(kind, "NotSupportedError");
      return { kind };
    }
    requestAnimationFrame(callback) { setTimeout(() => emulated.session && callback(performance.now(), frame), 1000 / 72); }
    end() { emulated.session = null; this.onend?.(); }
  }

  const xr = {
    isSessionSupported: async mode => mode === "immersive-vr",
    requestSession: async (mode, options) => {
      if (emulated.session) throw new DOMException("one is running", "InvalidStateError");
      return (emulated.session = new Session());
    },
  };
  Object.defineProperty(navigator, "xr", { value: xr, configurable: true });
  window.XRWebGLLayer = class {
    framebuffer = null;
    constructor(session, gl) { if (!(gl instanceof WebGLRenderingContext)) throw new TypeError("no WebGL"); }
  };
  window.emulated = emulated;
})();
