import '../builder.ts';
