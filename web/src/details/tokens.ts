/** Which class a byte belongs to, from the decoder's ascending triples of start, end and class. */

/** Returns the class of the byte at `offset`, 0 where it has none. */
export function tokenAt(tokens: Float64Array, offset: number): number {
  let low = 0;
  let high = tokens.length / 3 - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (offset < tokens[middle * 3]) high = middle - 1;
    else if (offset >= tokens[middle * 3 + 1]) low = middle + 1;
    else return tokens[middle * 3 + 2];
  }
  return 0;
}
