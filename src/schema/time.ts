import { builder } from './builder.ts';

export const OrderDirection = builder.enumType('OrderDirection', {
  description: 'Which way a list is ordered.',
  values: {
    ASC: { description: 'The smallest, or the earliest, first.' },
    DESC: { description: 'The largest, or the latest, first.' },
  },
});

export const TimeRangeInput = builder.inputType('TimeRangeInput', {
  description: 'A stretch of time.',
  fields: (t) => ({
    from: t.field({ type: 'DateTime', description: 'Its first moment; open where it is left out.' }),
    to: t.field({ type: 'DateTime', description: 'The moment after its last; now where it is left out.' }),
  }),
});
