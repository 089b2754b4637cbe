//! Several signers, each perhaps ahead of the common tree.

use crate::stored_log::{naive_node, naive_roots};
use bytes::Bytes;
use corestore_core::crypto::namespace::DEFAULT_NAMESPACE;
use corestore_core::crypto::{BlockCipher, CoreKey, KeyPair, PADDING};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::manifest::{Manifest, MultiSignature, PartialSignature, Signer, SignerProof, Verifier, assemble};
use corestore_core::merkle::upgrade_places;
use proptest::prelude::*;

fn verifier(pairs: &[KeyPair], quorum: u64, allow_patch: bool) -> Verifier {
    let signers = pairs
        .iter()
        .map(|pair| Signer { namespace: DEFAULT_NAMESPACE, public_key: pair.public_key() })
        .collect::<Vec<_>>();
    let mut manifest = Manifest::single(1, pairs[0].public_key());
    manifest.signers = signers;
    manifest.quorum = quorum;
    manifest.allow_patch = allow_patch;
    let key = manifest.key();
    Verifier::new(manifest, &key).unwrap()
}

/// One signer's part over the first `length + ahead` blocks.
fn part(
    verifier: &Verifier,
    pairs: &[KeyPair],
    at: usize,
    blocks: &[Bytes],
    length: u64,
    ahead: u64,
) -> PartialSignature {
    let own = naive_roots(0, &blocks[..(length + ahead) as usize]);
    let signer = &verifier.manifest().signers[at];
    let signature = pairs[at].sign(&verifier.signable(&own, signer));
    let places = if ahead > 0 { upgrade_places(length, length + ahead) } else { Vec::new() };
    let nodes = places.into_iter().map(|place| naive_node(place, blocks)).collect();
    PartialSignature { proof: SignerProof { signer: at as u64, signature, patch: ahead }, nodes }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_quorum_signs_and_less_does_not(
        count in 1_usize..5, quorum in 1_usize..5, length in 1_u64..20, ahead in prop::collection::vec(0_u64..12, 5), bend: usize,
    ) {
        let quorum = quorum.min(count);
        let pairs: Vec<KeyPair> = (0..count).map(|at| KeyPair::from_seed(&[at as u8 + 1; 32])).collect();
        let blocks: Vec<Bytes> = (0..40_u8).map(|at| Bytes::from(vec![at; usize::from(at % 5)])).collect();
        let roots = naive_roots(0, &blocks[..length as usize]);
        for allow_patch in [true, false] {
            let verifier = verifier(&pairs, quorum as u64, allow_patch);
            let ahead = |at: usize| if allow_patch { ahead[at] } else { 0 };
            let parts: Vec<PartialSignature> =
                (0..quorum).map(|at| part(&verifier, &pairs, at, &blocks, length, ahead(at))).collect();
            let whole = assemble(&parts);
            let holds = |multi: &MultiSignature| verifier.verify(&roots, &multi.to_bytes());
            prop_assert!(holds(&whole));
            prop_assert_eq!(MultiSignature::from_bytes(&whole.to_bytes()), Ok(whole.clone()));
            prop_assert!(!holds(&assemble(&parts[1..])));
            let at = bend % quorum;
            let mut bent = whole.clone();
            bent.proofs[at].signature.0[bend % 64] ^= 1;
            prop_assert!(!holds(&bent));
            let mut elsewhere = whole.clone();
            elsewhere.proofs[at].signer = count as u64;
            prop_assert!(!holds(&elsewhere));
            if quorum > 1 {
                let mut twice = whole.clone();
                twice.proofs[1] = twice.proofs[0];
                prop_assert!(!holds(&twice));
            }
            if whole.proofs[at].patch > 0 {
                let mut shorter = whole.clone();
                shorter.proofs[at].patch -= 1;
                prop_assert!(!holds(&shorter));
                for node in 0..whole.patch.len() {
                    let mut wrong = whole.clone();
                    wrong.patch[node].hash.0[3] ^= 1;
                    let needed = parts.iter().any(|part| part.nodes.iter().any(|own| own.index == wrong.patch[node].index));
                    prop_assert!(!needed || !holds(&wrong));
                }
            }
            let longer = naive_roots(0, &blocks[..length as usize + 1]);
            prop_assert!(!verifier.verify(&longer, &whole.to_bytes()));
            let forked = naive_roots(1, &blocks[..length as usize]);
            prop_assert!(!verifier.verify(&forked, &whole.to_bytes()));
        }
    }

    #[test]
    fn blocks_tell_apart_index_fork_and_key(block: Vec<u8>, index: u64, fork: u64, key: [u8; 32]) {
        let cipher = BlockCipher::new(&CoreKey([1; 32]), false, &key);
        let stored = cipher.encrypt(index, fork, &block);
        prop_assert_eq!(stored.len(), block.len() + PADDING);
        prop_assert_eq!(cipher.decrypt(index, &stored).unwrap(), block.clone());
        prop_assert_ne!(cipher.fork_of(index ^ 1, &stored), Some(fork));
        prop_assert_ne!(BlockCipher::new(&CoreKey([2; 32]), false, &key).fork_of(index, &stored), Some(fork));
        prop_assert_ne!(cipher.encrypt(index, fork ^ 1, &block), stored);
    }
}
