/** Deliveries by what they are now. What has failed is ABANDONED, RETRYING, or CANCELLED after an attempt. */
export interface Counts {
  delivered: number;
  abandoned: number;
  cancelled: number;
  retrying: number;
  failed: number;
}

export const COUNT_NAMES = ['delivered', 'abandoned', 'cancelled', 'retrying', 'failed'] as const;

export const noCounts = (): Counts => ({ delivered: 0, abandoned: 0, cancelled: 0, retrying: 0, failed: 0 });

export const addCounts = (sum: Counts, more: Readonly<Counts>): void => {
  for (const name of COUNT_NAMES) sum[name] += more[name];
};

export const totalOf = ({ delivered, abandoned, cancelled, retrying }: Readonly<Counts>): number =>
  delivered + abandoned + cancelled + retrying;

/** 0 to 1: of those that succeeded or failed; null without any. Cancelled before its first attempt is neither. */
export const successRate = ({ delivered, failed }: Pick<Counts, 'delivered' | 'failed'>): number | null =>
  delivered + failed > 0 ? delivered / (delivered + failed) : null;
