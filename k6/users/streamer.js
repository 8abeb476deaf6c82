// A streamer: there from the first minute to the last, answers the chat every few seconds. The first one of a room owns
// it; further ones are co-hosts with the same limits.

export const profile = {
  kind: 'streamer',
  share: 0.05,
  tier: 'streamer',
  messagesPerSecond: 50,
  visit: { median: 600, sigma: 0.2, low: 300, high: 1200 },
  awayMean: 2,
  chatMean: 3,
  length: { median: 50, sigma: 0.6, low: 5, high: 300 },
  typesFirst: 0.2,
  reactMean: null,
  reactBurst: 0,
  giftMean: null,
  slowNetwork: false,
  qualityMean: null,
  dropMean: 300,
};
