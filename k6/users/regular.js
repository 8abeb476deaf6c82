// A regular viewer: watches for a minute or so, says something now and then, reacts.

export const profile = {
  kind: 'regular',
  share: 0.7,
  tier: 'viewer',
  messagesPerSecond: 5,
  visit: { median: 60, sigma: 0.6, low: 15, high: 300 },
  awayMean: 3,
  chatMean: 12,
  length: { median: 30, sigma: 0.7, low: 3, high: 200 },
  typesFirst: 0.5,
  reactMean: 15,
  reactBurst: 3,
  giftMean: null,
  slowNetwork: false,
  qualityMean: null,
  dropMean: 120,
};
