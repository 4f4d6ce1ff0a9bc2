// SPDX-License-Identifier: GPL-2.0-or-later
//
// Loads whose stacks are hard in Java: "JavaStacks LOAD MILLISECONDS". The load "chain"
// knows its own truth: each of its samples is main, run, chain, first, second, ... (see
// tests/scenario/java_stacks.py).
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.LongUnaryOperator;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.LongStream;

public class JavaStacks {
	interface Shape {
		double area(int n);
	}

	static final class Square implements Shape {
		public double area(int n) {
			return n * (double) n;
		}
	}

	static final class Circle implements Shape {
		public double area(int n) {
			return Math.PI * n * n;
		}
	}

	static final class Ring implements Shape {
		public double area(int n) {
			return Math.sin(n) * Math.sqrt(n);
		}
	}

	private static volatile long sink;
	private static final Object lock = new Object();

	// ---- the chain: each of these only calls the next ----

	static long leaf(long x) {
		for (int i = 0; i < 3000; i++)
			x = x * 6364136223846793005L + i;
		return x;
	}

	static long third(long x) {
		return leaf(x) + 3;
	}

	static long second(long x, int a, int b, int c, int d, int e, int f, int g) {
		return third(x + a + b) + c + d + e + f + g;
	}

	static long first(long x) {
		return second(x, 1, 2, 3, 4, 5, 6, 7) + 1;
	}

	static long chain(long x) {
		return first(x) ^ 1;
	}

	// ---- loads ----

	static long deep(int n, long x) {
		return n == 0 ? leaf(x) : deep(n - 1, x + n) * 3 + 1;
	}

	static long streams(long x) {
		LongUnaryOperator twice = v -> v * 2 + x;
		Map<Long, Long> groups = LongStream.range(0, 2000).map(twice).boxed()
			.filter(v -> v % 3 != 0)
			.collect(Collectors.groupingBy(v -> v % 17, Collectors.counting()));
		return groups.values().stream().mapToLong(Long::longValue).sum();
	}

	static long collections(long x) {
		Map<String, List<Integer>> tree = new TreeMap<>();
		Map<Integer, String> hash = new HashMap<>();
		for (int i = 0; i < 500; i++) {
			String key = "key " + (i * 7919 + x) % 97;
			tree.computeIfAbsent(key, k -> new ArrayList<>()).add(i);
			hash.put(i, key);
		}
		return tree.size() + hash.hashCode() + new int[2000].length;
	}

	static long thrower(int depth) {
		if (depth == 0)
			throw new IllegalStateException("thrown");
		return thrower(depth - 1) + 1;
	}

	static long exceptions(long x) {
		for (int i = 0; i < 20; i++) {
			try {
				x += thrower(i);
			} catch (IllegalStateException e) {
				x += e.getMessage().length();
			}
		}
		return x;
	}

	static long contended(long x) {
		for (int i = 0; i < 50; i++) {
			synchronized (lock) {
				x += sink & 7;
				sink = x;
			}
		}
		return x;
	}

	static long regex(long x) {
		Pattern pattern = Pattern.compile("([a-z]+)-(\\d+)(?:,|$)");
		String text = "alpha-1,beta-22,gamma-333,delta-4444," + x;
		return pattern.matcher(text).results().count() + text.replace(',', ';').hashCode();
	}

	static long virtual(long x) {
		Shape[] shapes = {new Square(), new Circle(), new Ring()};
		double sum = 0;
		for (int i = 0; i < 3000; i++)
			sum += shapes[i % 3].area(i);
		return x + (long) sum;
	}

	static long copies(long x) {
		long[] a = new long[4000];
		Object[] objects = new Object[2000];
		java.util.Arrays.fill(a, x);
		java.util.Arrays.fill(objects, lock);
		System.arraycopy(a, 0, a, 1, a.length - 1);
		System.arraycopy(objects, 1, objects, 0, objects.length - 1);
		byte[] bytes = new byte[8000];
		java.util.zip.CRC32 crc = new java.util.zip.CRC32();
		crc.update(bytes);
		return java.util.Arrays.hashCode(a) + crc.getValue() + java.util.Arrays.copyOf(objects, 900).length;
	}

	static long once(String load, long x) {
		switch (load) {
		case "chain":
			return chain(x);
		case "deep":
			return deep(100, x);
		case "streams":
			return streams(x);
		case "collections":
			return collections(x);
		case "exceptions":
			return exceptions(x);
		case "contended":
			return contended(x);
		case "regex":
			return regex(x);
		case "virtual":
			return virtual(x);
		case "copies":
			return copies(x);
		default:
			throw new IllegalArgumentException(load);
		}
	}

	static long run(String load, long until) {
		long x = 1;
		while (System.currentTimeMillis() < until)
			x += once(load, x);
		sink = x;
		return x;
	}

	public static void main(String[] arguments) throws InterruptedException {
		long until = System.currentTimeMillis() + Long.parseLong(arguments[1]);
		String[] loads = arguments[0].split(",");
		List<Thread> threads = new ArrayList<>();
		for (int i = 1; i < loads.length; i++) {
			String load = loads[i];
			threads.add(new Thread(() -> run(load, until), load));
		}
		for (Thread thread : threads)
			thread.start();
		run(loads[0], until);
		for (Thread thread : threads)
			thread.join();
	}
}
