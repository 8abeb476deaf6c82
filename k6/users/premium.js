// A premium viewer: stays longer, talks more, reacts in bursts, sends gifts, and is particular
// about the picture.

export const profile = {
  kind: 'premium',
  share: 0.2,
  tier: 'premium',
  messagesPerSecond: 10,
  visit: { median: 90, sigma: 0.5, low: 20, high: 400 },
  awayMean: 3,
  chatMean: 5,
  length: { median: 40, sigma: 0.7, low: 3, high: 300 },
  typesFirst: 0.5,
  reactMean: 8,
  reactBurst: 10,
  giftMean: 30,
  slowNetwork: false,
  qualityMean: 20,
  dropMean: 180,
};
