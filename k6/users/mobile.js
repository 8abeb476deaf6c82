// A viewer on the way: a slow network, short visits, a connection that drops every few seconds, thumbs too slow for much
// chat.

export const profile = {
  kind: 'mobile',
  share: 0.03,
  tier: 'viewer',
  messagesPerSecond: 5,
  visit: { median: 15, sigma: 0.5, low: 6, high: 45 },
  awayMean: 6,
  chatMean: 20,
  length: { median: 12, sigma: 0.6, low: 2, high: 60 },
  typesFirst: 0.8,
  reactMean: 10,
  reactBurst: 5,
  giftMean: null,
  slowNetwork: true,
  qualityMean: null,
  dropMean: 10,
};
