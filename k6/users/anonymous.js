// Somebody without a name: looks in, and hardly ever says anything.

export const profile = {
  kind: 'anonymous',
  share: 0.02,
  tier: 'anonymous',
  messagesPerSecond: 2,
  visit: { median: 20, sigma: 0.6, low: 6, high: 90 },
  awayMean: 5,
  chatMean: 30,
  length: { median: 20, sigma: 0.6, low: 2, high: 80 },
  typesFirst: 0,
  reactMean: 25,
  reactBurst: 2,
  giftMean: null,
  slowNetwork: false,
  qualityMean: null,
  dropMean: 60,
};
