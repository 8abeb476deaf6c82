// A camera that films a clock: the time of drawing, as black and white squares, and the reading of it.
// 40 squares, 8 across and 5 down: 32 bits of milliseconds and 8 bits of checksum.
(() => {
  const ACROSS = 8, DOWN = 5, SQUARE = 80, BITS = 32;
  const now = () => performance.timeOrigin + performance.now();
  const checksum = (value) => {
    let sum = 0x5a;
    for (let shift = 0; shift < 32; shift += 8) sum = (sum * 31 + ((value >>> shift) & 255)) & 255;
    return sum;
  };

  const film = () => {
    const canvas = document.createElement('canvas');
    canvas.width = 1280;
    canvas.height = 720;
    const context = canvas.getContext('2d');
    const draw = () => {
      const value = Math.floor(now()) >>> 0;
      const check = checksum(value);
      // Something that moves, so that the encoder has work to do.
      context.fillStyle = `hsl(${(value / 20) % 360} 60% 40%)`;
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.fillStyle = '#fff';
      context.fillRect((value / 4) % canvas.width, 500, 120, 120);
      for (let index = 0; index < ACROSS * DOWN; index++) {
        const bit = index < BITS ? (value >>> index) & 1 : (check >>> (index - BITS)) & 1;
        context.fillStyle = bit ? '#fff' : '#000';
        context.fillRect((index % ACROSS) * SQUARE, Math.floor(index / ACROSS) * SQUARE, SQUARE, SQUARE);
      }
      requestAnimationFrame(draw);
    };
    draw();
    return canvas.captureStream(30);
  };

  const sound = () => {
    const audio = new AudioContext();
    const out = audio.createMediaStreamDestination();
    const tone = audio.createOscillator();
    tone.connect(out);
    tone.start();
    return out.stream.getAudioTracks();
  };

  // Milliseconds from drawing to display, for every frame that the video shows; null where it cannot be read.
  const watch = (video, seconds) =>
    new Promise((resolve) => {
      const canvas = document.createElement('canvas');
      canvas.width = ACROSS * 8;
      canvas.height = DOWN * 8;
      const context = canvas.getContext('2d', {willReadFrequently: true});
      const found = [];
      const end = performance.now() + seconds * 1000;
      const look = (_, frame) => {
        const scale = video.videoWidth / 1280;
        context.drawImage(
          video, 0, 0, ACROSS * SQUARE * scale, DOWN * SQUARE * scale, 0, 0, canvas.width, canvas.height);
        const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
        let value = 0, check = 0;
        for (let index = 0; index < ACROSS * DOWN; index++) {
          const x = (index % ACROSS) * 8 + 4, y = Math.floor(index / ACROSS) * 8 + 4;
          const bit = pixels[(y * canvas.width + x) * 4] > 127 ? 1 : 0;
          if (index < BITS) value = (value | (bit << index)) >>> 0;
          else check |= bit << (index - BITS);
        }
        const shown = performance.timeOrigin + Math.max(frame.expectedDisplayTime, performance.now());
        found.push(check === checksum(value) ? shown - value - Math.floor(shown / 2 ** 32) * 2 ** 32 : null);
        if (performance.now() < end) video.requestVideoFrameCallback(look);
        else resolve(found);
      };
      video.requestVideoFrameCallback(look);
    });

  // The machine's own limit: the same picture through two peer connections in one page, with no server between.
  const direct = async (seconds) => {
    const [sender, receiver] = [new RTCPeerConnection(), new RTCPeerConnection()];
    sender.onicecandidate = ({candidate}) => receiver.addIceCandidate(candidate);
    receiver.onicecandidate = ({candidate}) => sender.addIceCandidate(candidate);
    const video = document.createElement('video');
    video.muted = true;
    video.autoplay = true;
    document.body.append(video);
    receiver.ontrack = ({streams}) => { video.srcObject = streams[0]; };
    const stream = film();
    stream.getTracks().forEach((track) => sender.addTrack(track, stream));
    await sender.setLocalDescription();
    await receiver.setRemoteDescription(sender.localDescription);
    await receiver.setLocalDescription();
    await sender.setRemoteDescription(receiver.localDescription);
    await video.play();
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const found = await watch(video, seconds);
    sender.close();
    receiver.close();
    return found;
  };

  if (navigator.mediaDevices)
    navigator.mediaDevices.getUserMedia = async (wanted) =>
      new MediaStream([
        ...(wanted.video ? film().getVideoTracks() : []),
        ...(wanted.audio ? sound() : []),
      ]);
  window.__clock = {watch, direct};
})();
