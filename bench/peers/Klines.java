import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Kafka Streams: 1-minute candles. {@code Klines BOOTSTRAP TOPIC FORM TRADES OUT GUARANTEE FOLDER}.
 *
 * <p>FORM is plain (records of one symbol, keyed by it: flatMapValues), envelope (TradeBatches of many
 * symbols without a key: their groups go through a repartition topic) or by-hand (the same, folded in
 * a processor of our own, without a repartition and without telling anybody: the least that its state
 * and changelog can cost). State is kept in memory, which was faster than RocksDB, with its changelog;
 * but for by-hand, candles leave for the topic peers.candles.
 */
public class Klines {
  static final long MINUTE_MS = 60_000;
  static final Duration MINUTE = Duration.ofMinutes(1);
  static final Duration GRACE = Duration.ofMinutes(30);
  static final Duration RETENTION = Duration.ofHours(1);
  static final String STORE = "klines";
  static final JsonFactory JSON = new JsonFactory();
  static final OperatingSystemMXBean SYSTEM =
      (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
  static final CountDownLatch done = new CountDownLatch(1);

  /** Trades of one symbol, in columns. */
  record Group(String symbol, double[] ts, double[] price, double[] qty) {}

  record Trade(long ts, double price, double qty) {}

  // One stream thread folds; main reads these after the latch.
  static long all, trades, halfTrades, halfNs, halfCpuNs, endNs, endCpuNs;

  static void count(int more) {
    trades += more;
    if (halfNs == 0 && trades >= all / 2) {
      halfTrades = trades;
      halfNs = System.nanoTime();
      halfCpuNs = SYSTEM.getProcessCpuTime();
    }
    if (endNs == 0 && trades >= all) {
      endNs = System.nanoTime();
      endCpuNs = SYSTEM.getProcessCpuTime();
      done.countDown();
    }
  }

  static double[] add(double[] bar, double price, double qty) {
    if (bar == null) return new double[] {price, price, price, price, qty, 1};
    // It was read from bytes for this call, so it may be changed.
    bar[1] = Math.max(bar[1], price);
    bar[2] = Math.min(bar[2], price);
    bar[3] = price;
    bar[4] += qty;
    bar[5]++;
    return bar;
  }

  static List<Trade> rows(byte[] value) {
    List<Trade> found = new ArrayList<>(128);
    try (JsonParser p = JSON.createParser(value)) {
      p.nextToken();
      while (p.nextToken() == JsonToken.FIELD_NAME) {
        boolean isData = p.currentName().equals("data");
        p.nextToken();
        if (!isData) p.skipChildren();
        else while (p.nextToken() == JsonToken.START_OBJECT) found.add(row(p));
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return found;
  }

  static Trade row(JsonParser p) throws IOException {
    double price = 0, qty = 0;
    long ts = 0;
    while (p.nextToken() == JsonToken.FIELD_NAME) {
      String name = p.currentName();
      p.nextToken();
      switch (name) {
        case "price" -> price = p.getDoubleValue();
        case "quantity" -> qty = p.getDoubleValue();
        case "timestamp" -> ts = p.getLongValue();
        default -> p.skipChildren();
      }
    }
    return new Trade(ts, price, qty);
  }

  static List<Group> groups(byte[] value) {
    List<Group> found = new ArrayList<>(64);
    try (JsonParser p = JSON.createParser(value)) {
      p.nextToken();
      while (p.nextToken() == JsonToken.FIELD_NAME) {
        boolean isSymbols = p.currentName().equals("symbols");
        p.nextToken();
        if (!isSymbols) p.skipChildren();
        else while (p.nextToken() == JsonToken.START_OBJECT) found.add(group(p));
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return found;
  }

  static Group group(JsonParser p) throws IOException {
    String symbol = null;
    double[] ts = null, price = null, qty = null;
    while (p.nextToken() == JsonToken.FIELD_NAME) {
      String name = p.currentName();
      p.nextToken();
      switch (name) {
        case "symbol" -> symbol = p.getText();
        case "ts" -> ts = column(p);
        case "price" -> price = column(p);
        case "qty" -> qty = column(p);
        default -> p.skipChildren();
      }
    }
    return new Group(symbol, ts, price, qty);
  }

  static double[] column(JsonParser p) throws IOException {
    double[] found = new double[128]; // whole numbers below 2^53 stay what they are
    int n = 0;
    while (p.nextToken() != JsonToken.END_ARRAY) {
      if (n == found.length) found = Arrays.copyOf(found, 2 * n);
      found[n++] = p.getLongValue();
    }
    return Arrays.copyOf(found, n);
  }

  static final Serde<double[]> BAR = Serdes.serdeFrom(
      (topic, bar) -> {
        if (bar == null) return null;
        ByteBuffer bytes = ByteBuffer.allocate(8 * bar.length);
        bytes.asDoubleBuffer().put(bar);
        return bytes.array();
      },
      (topic, bytes) -> {
        if (bytes == null) return null;
        double[] bar = new double[bytes.length / 8];
        ByteBuffer.wrap(bytes).asDoubleBuffer().get(bar);
        return bar;
      });

  static final Serde<Group> GROUP = Serdes.serdeFrom(
      (topic, group) -> {
        ByteBuffer bytes = ByteBuffer.allocate(24 * group.ts().length);
        for (int i = 0; i < group.ts().length; i++)
          bytes.putDouble(group.ts()[i]).putDouble(group.price()[i]).putDouble(group.qty()[i]);
        return bytes.array();
      },
      (topic, value) -> {
        ByteBuffer bytes = ByteBuffer.wrap(value);
        int n = value.length / 24;
        Group group = new Group(null, new double[n], new double[n], new double[n]);
        for (int i = 0; i < n; i++) {
          group.ts()[i] = bytes.getDouble();
          group.price()[i] = bytes.getDouble();
          group.qty()[i] = bytes.getDouble();
        }
        return group;
      });

  /** Gives each group of an envelope its key and its time. */
  static class Split implements Processor<byte[], byte[], String, Group> {
    private ProcessorContext<String, Group> context;

    @Override public void init(ProcessorContext<String, Group> context) { this.context = context; }

    @Override public void process(Record<byte[], byte[]> record) {
      for (Group group : groups(record.value()))
        context.forward(new Record<>(group.symbol(), group, (long) group.ts()[0]));
    }
  }

  /** Folds the groups of an envelope into a window store, bar by bar. */
  static class Fold implements Processor<byte[], byte[], Void, Void> {
    private WindowStore<String, double[]> bars;

    @Override public void init(ProcessorContext<Void, Void> context) {
      bars = context.getStateStore(STORE);
    }

    @Override public void process(Record<byte[], byte[]> record) {
      for (Group group : groups(record.value())) {
        double[] ts = group.ts();
        for (int i = 0, end; i < ts.length; i = end) {
          long open = (long) ts[i] - (long) ts[i] % MINUTE_MS;
          double[] bar = bars.fetch(group.symbol(), open);
          for (end = i; end < ts.length && ts[end] < open + MINUTE_MS; end++)
            bar = add(bar, group.price()[end], group.qty()[end]);
          bars.put(group.symbol(), bar, open);
        }
        count(ts.length);
      }
    }
  }

  static void byHand(StreamsBuilder builder, String topic) {
    StoreBuilder<WindowStore<String, double[]>> store = Stores.windowStoreBuilder(
        Stores.inMemoryWindowStore(STORE, RETENTION, MINUTE, false), Serdes.String(), BAR).withCachingEnabled();
    builder.addStateStore(store);
    builder.stream(topic, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
        .process(Fold::new, STORE);
  }

  static void byDsl(StreamsBuilder builder, String topic, boolean isPlain) {
    KStream<String, Trade> rows;
    if (isPlain)
      rows = builder.stream(topic, Consumed.with(Serdes.String(), Serdes.ByteArray()))
          .flatMapValues(Klines::rows);
    else
      rows = builder.stream(topic, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
          .process(Split::new)
          .repartition(Repartitioned.with(Serdes.String(), GROUP))
          .flatMapValues(Klines::rowsOf);
    rows.groupByKey(Grouped.keySerde(Serdes.String()))
        .windowedBy(TimeWindows.ofSizeAndGrace(MINUTE, GRACE))
        .aggregate(() -> (double[]) null, (symbol, row, bar) -> {
          count(1);
          return add(bar, row.price(), row.qty());
        }, Materialized.<String, double[]>as(Stores.inMemoryWindowStore(STORE, RETENTION, MINUTE, false))
            .withKeySerde(Serdes.String()).withValueSerde(BAR))
        .toStream((window, bar) -> window.key() + "|" + window.window().start())
        .to("peers.candles", Produced.with(Serdes.String(), BAR));
  }

  static List<Trade> rowsOf(Group group) {
    List<Trade> rows = new ArrayList<>(group.ts().length);
    for (int i = 0; i < group.ts().length; i++)
      rows.add(new Trade((long) group.ts()[i], group.price()[i], group.qty()[i]));
    return rows;
  }

  static Properties settings(String bootstrap, String guarantee, String folder) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "peers.streams." + System.nanoTime());
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
    settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    settings.put(StreamsConfig.consumerPrefix("max.partition.fetch.bytes"), 4 << 20);
    return settings;
  }

  static void write(KafkaStreams streams, Path out) throws IOException {
    try (PrintWriter file = new PrintWriter(Files.newBufferedWriter(out));
        var found = streams.store(StoreQueryParameters.fromNameAndType(STORE,
            QueryableStoreTypes.<String, double[]>windowStore())).all()) {
      found.forEachRemaining(each -> {
        double[] b = each.value;
        file.printf(Locale.ROOT, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%d%n", each.key.key(),
            each.key.window().start(), b[0], b[1], b[2], b[3], b[4], (long) b[5]);
      });
    }
  }

  static double peakRssMb() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/status")))
      if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("\\D", "")) / 1024.0;
    return 0;
  }

  public static void main(String[] args) throws Exception {
    String topic = args[1], form = args[2];
    all = Long.parseLong(args[3]);
    StreamsBuilder builder = new StreamsBuilder();
    if (form.equals("by-hand")) byHand(builder, topic);
    else byDsl(builder, topic, form.equals("plain"));
    KafkaStreams streams = new KafkaStreams(builder.build(), settings(args[0], args[5], args[6]));
    streams.setUncaughtExceptionHandler((Throwable e) -> {
      e.printStackTrace();
      System.exit(1);
      return null;
    });
    streams.start();
    done.await(10, TimeUnit.MINUTES);
    write(streams, Path.of(args[4]));
    long some = trades - halfTrades;
    System.out.printf(Locale.ROOT,
        "{\"trades\": %d, \"trades_per_s\": %.0f, \"cpu_s_per_million\": %.3f, \"peak_rss_mb\": %.0f}%n",
        trades, some / ((endNs - halfNs) / 1e9), (endCpuNs - halfCpuNs) / 1e3 / some, peakRssMb());
    System.out.flush();
    streams.close(Duration.ofSeconds(10));
    System.exit(0);
  }
}
