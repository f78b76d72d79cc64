/**
 * Prose that is run through a base once, at import, to see which channels of the down projections grow large. Several
 * subjects and registers, written for this purpose: it is in no test set. Some 300 tokens.
 */
export const CALIBRATION_TEXT = `The ferry leaves at a quarter past six, when the harbour is still grey and the gulls sit in rows along the sea wall. \
Anna bought two tickets for 14.50 and asked whether the café on board was open.

To prune an apple tree, wait for a dry day in late winter. Cut dead and crossing branches first, then shorten last year's growth by a third; \
a clean, slanted cut above an outward bud heals best.

Dear Mr Okafor, thank you for your order no. 20731. One of the three lamps is out of stock until 9 March. Would you like a refund, or shall we send it later?

A function that sorts a list in place returns nothing: \`items.sort(); print(items[0])\`. If n doubles, the running time grows a little more than twofold, because it is n log n.

"I never said that," he muttered. "You wrote it down," she answered, laughing, "and you signed it!"

The committee will vote on Tuesday about the new tram line, which is expected to cost 1.2 billion euros and to open in 2031. Critics say the forecast is too optimistic.

Question: why does ice float? Answer: frozen water takes up more room than the same mass of liquid water, so it is lighter.

What a dreadful film. Two hours of rain, shouting and one joke, told twice.`
