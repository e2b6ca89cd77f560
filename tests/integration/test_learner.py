"""glassbox-learner on a list of candidates, as `learn` calls it."""

import json
import subprocess

from house import BUILD

# 0x401000: xor (%rdi,%rax,4) with %ecx; add $1,%rax; cmp %rdx,%rax; jne 0x401000
LOOP = bytes.fromhex('310c87' '4883c001' '4839d0' '75f4')


def learn(tmp_path, count, *options):
    """Each has other bytes after the loop's end, and lines far longer than a stream's buffer."""
    lines = [{'head': '0x401000', 'base': '0x401000', 'bytes': (LOOP + b'\x90' * (4096 + i)).hex(), 'symbol': f'loop{i}', 'program': 'p'}
             for i in range(count)]
    (tmp_path / 'candidates').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    with open(tmp_path / 'candidates') as file:
        done = subprocess.run([BUILD / 'src/learn/glassbox-learner', '--library', tmp_path / 'kernels', '--cases', '100', *options],
                              stdin=file, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_a_candidate_that_takes_too_much_memory_costs_no_other(tmp_path):
    """The library that runs out ends its process, which must not move the parent's place in the list."""
    rows, said = learn(tmp_path, 4, '--megabytes', '700')
    assert [row['outcome'] for row in rows] == ['refused'] * 4 and 'memory' in rows[0]['reason'], rows
    assert 'no candidate' not in said
    rows, _ = learn(tmp_path, 4, '--again')
    assert [row['outcome'] for row in rows] == ['learned'] + ['known'] * 3, rows
