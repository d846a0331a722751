//! Whether the coordinates of a public key are a point of their curve. A key off its curve must never be a candidate
//! (it could make another key's token ambiguous). That must not depend on when a platform notices it, so it is checked
//! here, when a key would become a candidate.
//!
//! Everything here is public, so nothing needs to be constant-time. Platforms check again when they import a key.
//! Arithmetic: Montgomery multiplication over 64-bit limbs, least significant first.

type Limbs<const N: usize> = [u64; N];

/// How many points were checked, for a test of the bound.
#[cfg(test)]
pub(super) mod counted {
    use std::cell::Cell;

    thread_local!(static CHECKS: Cell<usize> = const { Cell::new(0) });

    pub(in super::super) fn reset() {
        CHECKS.set(0);
    }

    pub(in super::super) fn checks() -> usize {
        CHECKS.get()
    }

    pub(super) fn one_more() {
        CHECKS.set(CHECKS.get() + 1);
    }
}

/// Whether `(x, y)`, each 32 bytes and big-endian, is on P-256 (FIPS 186-4, D.1.2.3).
pub(super) fn is_on_p256(x: &[u8; 32], y: &[u8; 32]) -> bool {
    const P: Limbs<4> = [0xffff_ffff_ffff_ffff, 0x0000_0000_ffff_ffff, 0, 0xffff_ffff_0000_0001];
    const B: Limbs<4> =
        [0x3bce_3c3e_27d2_604b, 0x651d_06b0_cc53_b0f6, 0xb3eb_bd55_7698_86bc, 0x5ac6_35d8_aa3a_93e7];
    is_on_short_weierstrass(&Field::new(P), B, limbs_from_big_endian(x), limbs_from_big_endian(y))
}

/// Whether `(x, y)`, each 48 bytes and big-endian, is on P-384 (FIPS 186-4, D.1.2.4).
pub(super) fn is_on_p384(x: &[u8; 48], y: &[u8; 48]) -> bool {
    const P: Limbs<6> =
        [0x0000_0000_ffff_ffff, 0xffff_ffff_0000_0000, 0xffff_ffff_ffff_fffe, u64::MAX, u64::MAX, u64::MAX];
    const B: Limbs<6> = [
        0x2a85_c8ed_d3ec_2aef,
        0xc656_398d_8a2e_d19d,
        0x0314_088f_5013_875a,
        0x181d_9c6e_fe81_4112,
        0x988e_056b_e3f8_2d19,
        0xb331_2fa7_e23e_e7e4,
    ];
    is_on_short_weierstrass(&Field::new(P), B, limbs_from_big_endian(x), limbs_from_big_endian(y))
}

/// Whether 32 bytes decode to a point of Ed25519 (RFC 8032 section 5.1.3): `y` is below the prime, and `x` exists.
pub(super) fn is_on_ed25519(encoded: &[u8; 32]) -> bool {
    #[cfg(test)]
    counted::one_more();
    const P: Limbs<4> = [0xffff_ffff_ffff_ffed, u64::MAX, u64::MAX, 0x7fff_ffff_ffff_ffff];
    const D: Limbs<4> =
        [0x75eb_4dca_1359_78a3, 0x0070_0a4d_4141_d8ab, 0x8cc7_4079_7779_e898, 0x5203_6cee_2b6f_fe73];
    const HALF_OF_P_MINUS_1: Limbs<4> = [0xffff_ffff_ffff_fff6, u64::MAX, u64::MAX, 0x3fff_ffff_ffff_ffff];
    let mut big_endian = *encoded;
    big_endian.reverse();
    let is_x_odd = big_endian.first().is_some_and(|byte| byte & 0x80 != 0);
    if let Some(byte) = big_endian.first_mut() {
        *byte &= 0x7f;
    }
    let y = limbs_from_big_endian(&big_endian);
    if is_at_least(&y, &P) {
        return false;
    }
    // x² = (y² − 1) / (d·y² + 1). The denominator is never zero, so the quotient is a square exactly when the
    // product is: Euler's criterion.
    let field = Field::new(P);
    let y_squared = field.square(field.enter(y));
    let numerator = field.subtract(y_squared, field.one);
    let denominator = field.add(field.multiply(field.enter(D), y_squared), field.one);
    let product = field.multiply(numerator, denominator);
    if product == [0; 4] {
        return !is_x_odd; // x = 0 has no odd twin
    }
    field.power(product, HALF_OF_P_MINUS_1) == field.one
}

/// y² = x³ − 3x + b, with both coordinates below the prime.
fn is_on_short_weierstrass<const N: usize>(field: &Field<N>, b: Limbs<N>, x: Limbs<N>, y: Limbs<N>) -> bool {
    #[cfg(test)]
    counted::one_more();
    if is_at_least(&x, &field.prime) || is_at_least(&y, &field.prime) {
        return false;
    }
    let (x, y, b) = (field.enter(x), field.enter(y), field.enter(b));
    let three = field.add(field.add(field.one, field.one), field.one);
    let slope = field.subtract(field.square(x), three);
    field.square(y) == field.add(field.multiply(slope, x), b)
}

/// The integers modulo an odd prime. Elements are in Montgomery form, `a·2^(64·N)`, and below the prime, so equal
/// elements are equal limbs.
struct Field<const N: usize> {
    prime: Limbs<N>,
    /// −1 / prime modulo 2^64.
    inverse: u64,
    one: Limbs<N>,
}

impl<const N: usize> Field<N> {
    fn new(prime: Limbs<N>) -> Self {
        let lowest = prime.first().copied().unwrap_or(1);
        // Newton's iteration doubles the correct bits, of which an odd number gives three to begin with.
        let reciprocal = (0..5)
            .fold(lowest, |guess, _| guess.wrapping_mul(2_u64.wrapping_sub(lowest.wrapping_mul(guess))));
        let mut one = [0; N];
        if let Some(lowest) = one.first_mut() {
            *lowest = 1;
        }
        let field = Self { prime, inverse: reciprocal.wrapping_neg(), one };
        Self { one: field.enter(one), ..field }
    }

    /// A number below the prime, as an element: doubled once for every bit of 2^(64·N).
    fn enter(&self, number: Limbs<N>) -> Limbs<N> {
        (0..64 * N).fold(number, |element, _| self.add(element, element))
    }

    fn add(&self, a: Limbs<N>, b: Limbs<N>) -> Limbs<N> {
        let mut sum = [0; N];
        let mut carry = false;
        for (out, (a, b)) in sum.iter_mut().zip(a.into_iter().zip(b)) {
            let (partial, first) = a.overflowing_add(b);
            let (total, second) = partial.overflowing_add(u64::from(carry));
            *out = total;
            carry = first || second;
        }
        self.reduce_once(sum, carry)
    }

    fn subtract(&self, a: Limbs<N>, b: Limbs<N>) -> Limbs<N> {
        let (negated, _) = subtract_limbs(&self.prime, &b);
        self.add(a, if b == [0; N] { b } else { negated })
    }

    fn multiply(&self, a: Limbs<N>, b: Limbs<N>) -> Limbs<N> {
        let mut total = [0; N];
        let mut above = 0;
        for limb in a {
            let (high, first) = add_product(&mut total, limb, &b, above);
            let factor = total.first().copied().unwrap_or(0).wrapping_mul(self.inverse);
            let (high, second) = add_product(&mut total, factor, &self.prime, high);
            // The lowest limb is now zero: drop it.
            total.rotate_left(1);
            if let Some(highest) = total.last_mut() {
                *highest = high;
            }
            above = u64::from(first) + u64::from(second);
        }
        self.reduce_once(total, above != 0)
    }

    fn square(&self, a: Limbs<N>) -> Limbs<N> {
        self.multiply(a, a)
    }

    fn power(&self, base: Limbs<N>, exponent: Limbs<N>) -> Limbs<N> {
        let mut result = self.one;
        for limb in exponent.into_iter().rev() {
            for bit in (0..64).rev() {
                result = self.square(result);
                if limb >> bit & 1 == 1 {
                    result = self.multiply(result, base);
                }
            }
        }
        result
    }

    /// Subtracts the prime once if the number (with a bit above its limbs) is not below it.
    fn reduce_once(&self, number: Limbs<N>, has_bit_above: bool) -> Limbs<N> {
        if has_bit_above || is_at_least(&number, &self.prime) {
            subtract_limbs(&number, &self.prime).0
        } else {
            number
        }
    }
}

/// `total += factor · number`; returns the sum of `above` and what ran over, and whether that ran over too.
fn add_product<const N: usize>(
    total: &mut Limbs<N>,
    factor: u64,
    number: &Limbs<N>,
    above: u64,
) -> (u64, bool) {
    let mut carry = 0;
    for (out, limb) in total.iter_mut().zip(number) {
        let (low, high) =
            split(u128::from(*out) + u128::from(factor) * u128::from(*limb) + u128::from(carry));
        *out = low;
        carry = high;
    }
    above.overflowing_add(carry)
}

#[expect(clippy::as_conversions, reason = "the two halves of 128 bits, taken apart on purpose")]
const fn split(wide: u128) -> (u64, u64) {
    (wide as u64, (wide >> 64) as u64)
}

/// `a − b` modulo 2^(64·N), and whether `b` was greater.
fn subtract_limbs<const N: usize>(a: &Limbs<N>, b: &Limbs<N>) -> (Limbs<N>, bool) {
    let mut difference = [0; N];
    let mut borrow = false;
    for (out, (a, b)) in difference.iter_mut().zip(a.iter().zip(b)) {
        let (partial, first) = a.overflowing_sub(*b);
        let (total, second) = partial.overflowing_sub(u64::from(borrow));
        *out = total;
        borrow = first || second;
    }
    (difference, borrow)
}

fn is_at_least<const N: usize>(a: &Limbs<N>, b: &Limbs<N>) -> bool {
    !subtract_limbs(a, b).1
}

fn limbs_from_big_endian<const N: usize>(bytes: &[u8]) -> Limbs<N> {
    let mut limbs = [0; N];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.rchunks(8)) {
        *limb = chunk.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    limbs
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
        ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ParsedPublicKey,
    };
    use proptest::prelude::*;

    use super::*;

    fn p256(point: &[u8]) -> bool {
        is_on_p256(point[1..33].try_into().unwrap(), point[33..].try_into().unwrap())
    }

    fn p384(point: &[u8]) -> bool {
        is_on_p384(point[1..49].try_into().unwrap(), point[49..].try_into().unwrap())
    }

    #[test]
    fn agrees_with_another_implementation_on_points_and_their_neighbours() {
        for round in 0..50_usize {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let mut point = key.public_key().as_ref().to_vec();
            assert!(p256(&point));
            point[1 + round] ^= 1;
            assert_eq!(p256(&point), ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).is_ok());
            assert!(!p256(&point));

            let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
            let mut point = key.public_key().as_ref().to_vec();
            assert!(p384(&point));
            point[40 + round] ^= 0x80;
            assert_eq!(p384(&point), ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &point).is_ok());
            assert!(!p384(&point));

            let key = Ed25519KeyPair::generate().unwrap();
            assert!(is_on_ed25519(key.public_key().as_ref().try_into().unwrap()));
        }
    }

    #[test]
    fn coordinates_at_or_above_the_prime_are_no_point() {
        // (0, √b) is a point of P-256; (p, √b) is the same one under another name.
        let y = hex::decode("66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4")
            .unwrap()
            .try_into()
            .unwrap();
        let prime = hex::decode("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff").unwrap();
        assert!(is_on_p256(&[0; 32], &y));
        assert!(!is_on_p256(&prime.try_into().unwrap(), &y));
        assert!(!is_on_p256(&[0xff; 32], &[0xff; 32]));
        assert!(!is_on_p384(&[0xff; 48], &[0xff; 48]));
        assert!(!is_on_p256(&[0; 32], &[0; 32]), "infinity has no coordinates");
        assert!(!is_on_p384(&[0; 48], &[0; 48]));
        // y = p + 1 would be the neutral element again.
        let mut alias = [0xff; 32];
        alias[0] = 0xee;
        alias[31] = 0x7f;
        assert!(!is_on_ed25519(&alias));
    }

    #[test]
    fn half_of_all_texts_are_points_of_ed25519() {
        let mut points = 0;
        for byte in 0..=255_u8 {
            let mut encoded = [0x5a; 32];
            encoded[0] = byte;
            points += usize::from(is_on_ed25519(&encoded));
        }
        assert!((90..=166).contains(&points), "{points}");
        let neutral = {
            let mut y = [0; 32];
            y[0] = 1;
            y
        };
        assert!(is_on_ed25519(&neutral));
        let impossible = {
            let mut y = neutral;
            y[31] = 0x80;
            y
        };
        assert!(!is_on_ed25519(&impossible), "x = 0 with the odd bit");
        let two = {
            let mut y = [0; 32];
            y[0] = 2;
            y
        };
        assert!(!is_on_ed25519(&two), "y = 2 has no x");
    }

    proptest! {
        #[test]
        fn field_laws_hold(a in any::<[u64; 4]>(), b in any::<[u64; 4]>(), c in any::<[u64; 4]>()) {
            let field = Field::new([0xffff_ffff_ffff_ffed, u64::MAX, u64::MAX, 0x7fff_ffff_ffff_ffff]);
            let below = |mut limbs: [u64; 4]| { limbs[3] >>= 2; field.enter(limbs) };
            let (a, b, c) = (below(a), below(b), below(c));
            prop_assert_eq!(field.multiply(a, b), field.multiply(b, a));
            prop_assert_eq!(field.multiply(a, field.one), a);
            prop_assert_eq!(field.subtract(field.add(a, b), b), a);
            prop_assert_eq!(
                field.multiply(a, field.add(b, c)),
                field.add(field.multiply(a, b), field.multiply(a, c))
            );
            prop_assert_eq!(field.multiply(field.multiply(a, b), c), field.multiply(a, field.multiply(b, c)));
        }
    }
}
