//! Where one frame of a WebSocket ends and the next begins (RFC 6455, 5.2), so that a goodbye can be said between two of
//! them. What is in a frame is not looked at.

/// Follows what a service says.
#[derive(Debug, Default)]
pub struct Frames {
    head: [u8; 14],
    /// Bytes of the head that are known.
    known: usize,
    /// Bytes of the frame that are still to come.
    left: u64,
    closed: bool,
}

impl Frames {
    /// More was said.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let skip = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.left -= skip as u64;
                bytes = &bytes[skip..];
                continue;
            }
            self.head[self.known] = *first;
            self.known += 1;
            bytes = rest;
            if let Some(length) = self.length() {
                self.closed |= self.head[0] & 0x0f == 8;
                (self.known, self.left) = (0, length);
            }
        }
    }

    /// Length of what follows the head, once all of the head is known.
    fn length(&self) -> Option<u64> {
        let head = &self.head[..self.known];
        let second = *head.get(1)?;
        let (short, extra) = (second & 0x7f, usize::from(second >> 7) * 4);
        let wide = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if head.len() < 2 + wide + extra {
            return None;
        }
        let long = head[2..2 + wide]
            .iter()
            .fold(0, |length, byte| length << 8 | u64::from(*byte));
        Some(if wide == 0 { short.into() } else { long })
    }

    /// Whether nothing is half said, and no goodbye yet.
    pub fn may_say_goodbye(&self) -> bool {
        self.known == 0 && self.left == 0 && !self.closed
    }

    /// Whether the service has said goodbye itself.
    pub fn has_closed(&self) -> bool {
        self.closed && self.left == 0
    }
}

/// A goodbye as a service says it: code and reason, which is no longer than 123 bytes.
pub fn goodbye(code: u16, reason: &str) -> Vec<u8> {
    let length = u8::try_from(reason.len().min(123) + 2).unwrap_or(2);
    let mut frame = vec![0x88, length];
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend(reason.bytes().take(123));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize, masked: bool, opcode: u8) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(mask | length as u8),
            126..65_536 => {
                frame.push(mask | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([1, 2, 3, 4]);
        }
        // The first byte of a goodbye, so that one byte too few or too many is noticed.
        frame.extend(std::iter::repeat_n(0x88, length));
        frame
    }

    #[test]
    fn a_goodbye_is_said_only_between_two_frames_however_they_come() {
        let mut said = Vec::new();
        let mut ends = vec![0];
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 0] {
            for masked in [false, true] {
                said.extend(frame(length, masked, 2));
                ends.push(said.len());
            }
        }
        for size in [1, 2, 3, 7, 1_000, said.len()] {
            let (mut frames, mut at) = (Frames::default(), 0);
            for piece in said.chunks(size) {
                assert_eq!(
                    frames.may_say_goodbye(),
                    ends.contains(&at),
                    "{at} by {size}"
                );
                frames.follow(piece);
                at += piece.len();
            }
            assert!(frames.may_say_goodbye());
        }
    }

    #[test]
    fn nobody_says_goodbye_twice() {
        let mut frames = Frames::default();
        let bye = goodbye(1001, "the gateway stops");
        frames.follow(&bye[..5]);
        assert!(!frames.has_closed() && !frames.may_say_goodbye());
        frames.follow(&bye[5..]);
        assert!(frames.has_closed() && !frames.may_say_goodbye());
        assert_eq!(goodbye(1000, &"x".repeat(500)).len(), 127);
    }
}
